"""What to train next, decided from validation figures alone."""
