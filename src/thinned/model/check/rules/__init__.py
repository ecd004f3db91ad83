"""The rules, one in each file. `registry.py` has the table of all rules."""
