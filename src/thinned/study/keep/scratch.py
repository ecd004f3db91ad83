"""A folder for what a study's processes share while it runs. Nothing of it stays, in whatever way the study ends."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..error import StudyError
from .lock import LOCK, FolderLock

PREFIX = "thinned-study-"
_ROOM = "Make room, or name another folder in the environment variable TMPDIR."
YOUNG = 600.0  # seconds: a folder without a lock may be one that is just being made


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, removed at the end. Where a process is killed, its workers remove it, or else the next study does.

    Raises StudyError: the folder for temporary files can't be written to.
    """
    _remove_left_ones()
    try:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise StudyError(
            f"{error.filename or 'the folder for temporary files'}: cannot be written to: {error.strerror}. {_ROOM}"
        ) from error
    try:
        lock = FolderLock(path, _ROOM)
        try:
            yield path
        finally:
            lock.release()
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_left_ones() -> None:
    """What studies left that were killed together with their workers: nobody holds the lock in such a folder."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError, StudyError):
                if (path / LOCK).is_file():
                    FolderLock(path).release()
                elif time.time() - path.stat().st_mtime < YOUNG:
                    continue
                shutil.rmtree(path, ignore_errors=True)
