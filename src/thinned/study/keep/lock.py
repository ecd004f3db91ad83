"""One process at a time writes to a study's folder."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..error import StudyError

LOCK = ".lock"


class FolderLock:
    """The right to write to a folder, until `release`, or until this process ends in whatever way.

    The operating system holds the lock, so a killed process leaves none behind. The file `.lock` stays; it names the
    process that had the lock last.

    Arguments:
        mend: what to do where the folder cannot be written to.

    Raises StudyError: another process has it, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, mend: str = "Name another folder with --out.") -> None:
        self._path = folder / LOCK
        try:
            self._stream = self._locked(folder)
            self._sign()
        except OSError as error:
            raise StudyError(f"{folder}: cannot be written to: {error.strerror}. {mend}") from error

    def holds(self) -> bool:
        """Whether the folder is still the one that was locked. False where it was removed, even if there is another."""
        return _same(self._stream, self._path)

    def release(self) -> None:
        """Let others write. A second call does nothing."""
        self._stream.close()

    def _sign(self) -> None:
        """Say in the file whose it is. Where that fails, it is let go."""
        try:
            self._stream.seek(0)
            self._stream.truncate()
            self._stream.write(f"process {os.getpid()} on {platform.node()}\n")
            self._stream.flush()
        except OSError:
            with suppress(OSError):  # what was not written is written once more, and the file closed even so
                self._stream.close()
            raise

    def _locked(self, folder: Path) -> IO[str]:
        """The file, locked. It is opened again where it was removed between opening and locking."""
        while True:
            stream = self._path.open("a+", encoding="utf-8")
            try:
                if not _taken(stream):
                    stream.seek(0)
                    owner = stream.read().strip() or "another process"
                    raise StudyError(
                        f"{folder}: a study is being written here by {owner}. Wait until it has ended, or name another "
                        "folder with --out."
                    )
                if _same(stream, self._path):
                    return stream
            except BaseException:
                stream.close()
                raise
            stream.close()


def _same(stream: IO[str], path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _taken(stream: IO[str]) -> bool:
    """Whether the lock is ours now. Children that run another program do not inherit it."""
    if sys.platform == "win32":
        import msvcrt

        stream.seek(2**20)  # beyond the text, which others may read
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
