"""What a study's caller can mend, and what a caller is told while it goes on."""


class StudyError(ValueError):
    """A file, a column, an option or a folder that can't be used. The message says how to mend it."""


class StudyWarning(UserWarning):
    """Something that the study could do without: a damaged file, whose runs are trained again. One line."""
