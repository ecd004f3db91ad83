"""thinned: the dropout toolkit for PyTorch."""
