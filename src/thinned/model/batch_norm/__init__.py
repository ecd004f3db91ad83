"""Is the variance right? Measure the variance shift that noise causes, and estimate running statistics again."""
