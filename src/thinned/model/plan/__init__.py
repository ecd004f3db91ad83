"""Where should dropout go? Make a plan, write and read it as a file, and put its dropout into the model."""
