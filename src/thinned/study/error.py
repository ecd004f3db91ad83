"""What a study's caller can mend, and what a caller is told while it goes on."""

AGAIN = "Give the study's command again, which writes both files anew."


class StudyError(ValueError):
    """A file, a column, an option or a folder that can't be used. The message says how to mend it."""


class UnreadableError(StudyError):
    """A study's networks that can't be loaded: `reason` says why, without a full stop, and `mend` what to do."""

    def __init__(self, reason: str, mend: str = AGAIN) -> None:
        super().__init__(f"`load`: {reason}. {mend}")
        self.reason = reason


class StudyWarning(UserWarning):
    """Something that the study could do without: a damaged file, whose runs are trained again. One line."""
