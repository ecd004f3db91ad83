"""EXISTING models: see the dropout in them, check it, set it, place it. The functions are re-exported by `thinned`."""
