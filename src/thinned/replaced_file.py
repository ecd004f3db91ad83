"""The one door by which whole files are written: a regular file is replaced whole or not at all.

Any other, as a device, is written through.
What stays as it was: the file's permissions, owner and other attributes, the link that leads to it, its other names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# `/dev/stdout` and its like lead to one of these: an open stream of this process.
_STREAM = re.compile(r"/(?:dev|proc/(?P<process>\d+)(?:/task/\d+)?)/fd/(?P<number>\d+)")
_LINKS = 40  # at most so many, one to the next, as Linux has it
# A folder in which nothing can be made, or a file that can't be moved over, as one that is mounted: written in place.
_IN_PLACE = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV, errno.EROFS}


class ChangedFileError(OSError):
    """A file that was changed after it was read: writing it would lose the change."""


class _Destination(NamedTuple):
    """Where a path leads: a file's own path, what is there if anything, and the number of an open stream."""

    path: Path
    there: os.stat_result | None = None
    stream: int | None = None


def replace_file(path: Path, content: bytes, expected: bytes | None = None) -> None:
    """Write `content` beside `path`, then move it there. Where that fails, the old file stays and nothing else is left.

    A link stays, and the file to which it leads is written. A device, a FIFO or an open stream such as `/dev/stdout` is
    written through. A file with several names, or in a folder where it can't be replaced with its owner, is written in
    place, and gets its old content back where that fails; only there can the end of the machine leave a part.

    Arguments:
        expected: what the file held when it was read.

    Raises:
        ChangedFileError: it holds something else now.
        OSError: as `check_place`; or the disk is full or fails. It has the file's name.
    """
    place = check_place(path)
    try:
        _write_to(place, content, expected)
    except OSError as error:
        if error.errno is None:
            raise
        raise _refused(path, error) from None  # of a call on an open file, or on the one beside it, it has another name


def _write_to(place: _Destination, content: bytes, expected: bytes | None) -> None:
    if place.stream is not None:
        _write(place.stream, content)
    elif place.there is not None and not stat.S_ISREG(place.there.st_mode):
        handle = os.open(place.path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
        try:
            _write(handle, content)
        finally:
            os.close(handle)
    elif place.there is None or place.there.st_nlink == 1:
        try:
            _replace(place.path, place.there, content, expected)
        except OSError as error:
            if place.there is None or error.errno not in _IN_PLACE:
                raise
            _overwrite(place.path, content, expected)
    else:
        _overwrite(place.path, content, expected)


def check_place(path: Path) -> _Destination:
    """Refuse a path that can't be written, before the work whose result it is to hold.

    Raises: OSError, whose `strerror` is a sentence: the path is a folder, a read-only file or a loop of links, or lies
        in a folder that is not there or can't be written.
    """
    try:
        stream = _stream(path)
        if stream is not None:
            os.fstat(stream)
            return _Destination(path, None, stream)
        there = os.stat(path)  # noqa: PTH116  of a loop it tells, where Path.stat does not everywhere
    except FileNotFoundError:
        there = None
    except (ValueError, OSError) as error:
        raise _refused(path, error) from None
    if there is not None and not stat.S_ISREG(there.st_mode):
        if stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it can't be written to", str(path))
        return _Destination(path, there)
    real = Path(os.path.realpath(path))
    if there is not None:
        # The system lets root write what is marked read-only; whoever marked it meant root too.
        if not there.st_mode & 0o222 or not os.access(real, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only", str(path))
    elif not real.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {real.parent}", str(path))
    elif not os.access(real.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"nothing can be made in the folder {real.parent}", str(path))
    return _Destination(real, there)


def _refused(path: Path, error: ValueError | OSError) -> OSError:
    """An error of the system, or of Python for a name that no file can have, with the path."""
    if not isinstance(error, OSError):
        return OSError(errno.EINVAL, f"No file can have this name ({error})", str(path))
    return type(error)(error.errno, error.strerror, str(path))


def _stream(path: Path) -> int | None:
    """The open stream of this process to which a path leads, as `/dev/stdout` does; None for any other."""
    text = os.fspath(path)
    for _ in range(_LINKS):
        folder, name = os.path.split(os.path.abspath(text))  # noqa: PTH100  `..` behind a link is not taken out
        text = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118
        found = _STREAM.fullmatch(text)
        if found is not None and found["process"] in (None, str(os.getpid())):
            return int(found["number"])
        if not os.path.islink(text):  # noqa: PTH114
            return None
        text = os.path.join(os.path.dirname(text), os.readlink(text))  # noqa: PTH115, PTH118, PTH120
    return None


def _replace(path: Path, there: os.stat_result | None, content: bytes, expected: bytes | None) -> None:
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        # Beside an old file it is readable by its owner alone until it has that file's permissions.
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if there is None else 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if there is not None:
            made = part.stat()
            if (made.st_uid, made.st_gid) != (there.st_uid, there.st_gid):
                os.chown(part, there.st_uid, there.st_gid)
            shutil.copystat(path, part)
            os.utime(part)
        if expected is not None:
            _compare(path, path.read_bytes(), expected)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _overwrite(path: Path, content: bytes, expected: bytes | None) -> None:
    """Write over a file's content. The space that it needs is there before a byte is changed."""
    with path.open("r+b", buffering=0) as stream:
        old = stream.readall()
        if expected is not None:
            _compare(path, old, expected)
        with _restored(stream.fileno(), old):
            if len(content) > len(old) and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, len(content))
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
            _write(stream.fileno(), content)
            os.ftruncate(stream.fileno(), len(content))
            os.fsync(stream.fileno())


@contextlib.contextmanager
def _restored(handle: int, old: bytes) -> Iterator[None]:
    """Gives a file its old content back where writing it fails."""
    try:
        yield
    except BaseException:
        os.lseek(handle, 0, os.SEEK_SET)
        _write(handle, old)
        os.ftruncate(handle, len(old))
        raise


def _compare(path: Path, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise ChangedFileError(errno.ESTALE, "it was changed meanwhile", str(path))


def _write(handle: int, content: bytes) -> None:
    """Write all of it: a pipe may take a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
