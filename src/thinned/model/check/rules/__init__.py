"""The rules, one a file; `registry.py` names them all."""
