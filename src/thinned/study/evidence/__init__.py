"""Published results, run again in small: a paper a file, its claims as ranges, and a verdict on each."""
