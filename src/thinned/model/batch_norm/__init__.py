"""Whether the variance is right: the shift that noise causes, and new running statistics."""
