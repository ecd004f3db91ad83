"""What makes noise: a table of functions and one of modules, and how each takes its p."""
