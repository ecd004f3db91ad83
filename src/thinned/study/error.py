"""What a study's caller can mend, and what a caller is told while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A context manager for what a study adds to its record. Raises StudyError in the place of an OSError."""
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"{folder}: cannot be written to: {error.strerror}. Nothing that was recorded before is lost. "
            "Mend this and give the same command again."
        ) from error
