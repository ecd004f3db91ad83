"""A file replaced in one step: a reader, or the next run, sees the old file or the new one, never a part."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write `content` beside `path`, then move it there. Where that fails, the old file stays and nothing else is left.

    Arguments:
        mode: the file's permissions. By default those of any new file.

    Raises: OSError where the folder can't be written to.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        # With a mode the file is readable by its owner alone until it has that mode.
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        if mode is not None:
            part.chmod(mode)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
