"""One training, or a stack of them: configuration in, outcome out."""
