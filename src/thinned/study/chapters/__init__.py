"""Chapters of a study: each a question beside "how much", asked of the same rows by the same rules of training."""
