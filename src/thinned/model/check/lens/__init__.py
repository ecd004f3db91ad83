"""What a rule can ask, of a file of source and of a model that has run."""
