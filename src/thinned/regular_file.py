"""What is read is a regular file of at most a stated size: nothing is waited for, and nothing is read without end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TEXT_LIMIT = 10_000_000  # bytes of a file of source, settings or a plan
_STEP = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_regular(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """The content of a regular file, to which links may lead.

    A file that says it is empty and is not, as in `/proc`, is read up to the limit too.

    Raises: OSError, whose `strerror` says why: no file, a folder, a FIFO, a socket, a device, a loop of links, more
        than `limit` bytes, a name that no file can have.
    """
    try:
        _check(path, os.stat(path), limit)  # noqa: PTH116  before it is opened: opening a device may do something
        # A FIFO that has taken its place meanwhile is not waited for.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"no file can have this name ({error})", str(path)) from None
    try:
        _check(path, os.fstat(handle), limit)
        parts, size = [], 0
        while part := os.read(handle, min(_STEP, limit + 1 - size)):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise _too_large(path, limit)
        return b"".join(parts)
    finally:
        os.close(handle)


def irregular(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a folder and its folders that are not regular, and what they are: opening one may wait for ever."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in sorted(names)):
            with suppress(OSError):  # a link to nothing
                mode = path.stat().st_mode
                if not stat.S_ISREG(mode):
                    yield path, _kind(mode)


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


def _check(path: Path, found: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"it must be a regular file, and is {_kind(found.st_mode)}", str(path))
    if found.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: Path, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it must have at most {limit / 1e6:g} MB, and has more", str(path))
