"""What went wrong outside the study, in a sentence: the disk, a permission, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .error import StudyError

# What torch says, as a RuntimeError, where memory or the numbers that count it do not suffice.
_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "calculation overflowed", "invalid memory")


@contextmanager
def faults_told(out: Path) -> Iterator[None]:
    """Raises StudyError for an error of the system, with the place, the reason and what to do."""
    try:
        yield
    except OSError as error:
        place = error.filename if error.filename is not None else out
        where = f" (needed for {out})" if str(place) != str(out) else ""
        reason = error.strerror or str(error) or type(error).__name__
        raise StudyError(f"{place}: {reason}{where}. Mend this. {_go_on(out)}") from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(said in str(error).lower() for said in _MEMORY):
            raise
        raise StudyError(
            f"memory ran out: {_short(error)}. Fewer or smaller layers (--hidden), fewer rows (--train-rows) or "
            f"--jobs 1 take less. {_go_on(out)}"
        ) from error


def _go_on(out: Path) -> str:
    return f"What was finished is kept in {out}: give the same command again to go on."


def _short(error: BaseException) -> str:
    """The part of torch's message that is for people."""
    text = str(error).strip().splitlines()
    return text[0].rpartition("] ")[2].removeprefix(". ").rstrip(".") if text else type(error).__name__
