"""What is read is a regular file of at most a stated size. Nothing is waited for, and nothing read without end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from thinned.regular_file import read_regular


def test_a_file_and_a_link_to_it(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"content")
    link.symlink_to("file")
    assert read_regular(path) == read_regular(link) == read_regular(path, limit=7) == b"content"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("nothing", "No such file"),
        ("a link to nothing", "No such file"),
        ("folder", "is a folder"),
        ("fifo", "is a FIFO"),
        ("socket", "is a socket"),
        ("a link to a device", "is a device"),
        ("loop", "Too many levels"),
        ("ring", "Too many levels"),
        ("too large", "at most 7e-06 MB"),
        ("null\0", "no file can have this name"),
        ("\ud800", "no file can have this name"),
        ("n" * 300, "too long"),
    ],
)
def test_anything_else_is_refused_at_once(tmp_path: Path, kind: str, why: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(path))
    elif kind == "too large":
        path.write_bytes(b"contents")
    else:
        targets = {"a link to nothing": "no", "a link to a device": "/dev/zero", "loop": "loop", "ring": "other"}
        if kind in targets:
            path.symlink_to(targets[kind])
            (tmp_path / "other").symlink_to("ring")
    with pytest.raises(OSError, match=why) as raised:
        read_regular(path, limit=7)
    assert raised.value.strerror


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="a system with /proc")
def test_a_file_that_says_it_is_empty_is_read_up_to_the_limit() -> None:
    assert b"Name:" in read_regular(Path("/proc/self/status"))
    with pytest.raises(OSError, match="has more"):
        read_regular(Path("/proc/self/status"), limit=10)
