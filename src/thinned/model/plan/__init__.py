"""Where dropout should go: a plan, its file, and its dropout put into the model."""
