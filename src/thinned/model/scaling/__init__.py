"""Is the mean right? Measure whether dropout keeps the mean of a tensor the same in training and at inference."""
