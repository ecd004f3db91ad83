"""Finished runs on disk: a killed study loses none."""
