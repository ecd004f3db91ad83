"""What a study's caller can mend."""


class StudyError(ValueError):
    """A file, a column, an option or a folder that can't be used. The message says how to mend it."""
