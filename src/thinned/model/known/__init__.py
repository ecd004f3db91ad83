"""What makes noise: the vocabulary of functions and modules, and how each takes its p."""
