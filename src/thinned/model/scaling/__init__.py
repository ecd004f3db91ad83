"""Whether the mean is right: a dropped tensor in training against inference, measured."""
