"""The networks that a study can train: ordinary modules, with dropout where their field puts it."""
