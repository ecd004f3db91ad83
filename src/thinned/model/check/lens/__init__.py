"""What can a rule ask? Questions about a source file, and about a model that has run."""
