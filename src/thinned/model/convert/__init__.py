"""Ours for theirs, and back."""
