"""Other frameworks: one file each, which imports that framework. Nothing here is imported before it is asked for."""
