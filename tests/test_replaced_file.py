"""A regular file is replaced whole or not at all; anything else is written through; nothing is left beside it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from tests.full_disk import files_of_at_most

from thinned.replaced_file import ChangedFileError, check_place, replace_file

ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives a file to another user")


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode  # as of any new file
    path.chmod(0o640)
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert set(tmp_path.iterdir()) == {path, plain}


@pytest.mark.parametrize("mask", [0o000, 0o027, 0o077])
def test_a_new_file_has_what_the_mask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        replace_file(tmp_path / "file", b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_where_it_fails_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("steps", [1, 3])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, steps: int) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"one")
    path = tmp_path / "far" / "file"
    for step in range(steps):
        link = tmp_path / f"link{step}"
        link.symlink_to(os.path.relpath(path, tmp_path))
        path = link
    replace_file(path, b"two")
    assert path.is_symlink()
    assert (tmp_path / "far" / "file").read_bytes() == b"two"
    assert list((tmp_path / "far").iterdir()) == [tmp_path / "far" / "file"]


def test_a_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("file")
    replace_file(link, b"one")
    assert link.is_symlink()
    assert (tmp_path / "file").read_bytes() == b"one"


def test_the_other_names_of_a_file_stay_names_of_it(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"a longer content")
    os.link(path, other)
    for content in (b"two", b"three, which is longer than all before it"):
        replace_file(path, content)
        assert other.read_bytes() == content
        assert path.samefile(other)


def test_a_file_with_other_names_gets_its_content_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.link(path, tmp_path / "other")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("thinned.replaced_file.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        replace_file(path, b"a new and longer content")
    assert path.read_bytes() == b"one"


@ROOT
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    path.chmod(0o604)
    os.chown(path, 12345, 54321)
    replace_file(path, b"two")
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 54321, 0o604)


@ROOT
def test_a_file_in_a_folder_of_another_user_is_written_in_place() -> None:
    """As a user who may write the file, and neither make a file beside it nor give one away."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "file"
        path.write_bytes(b"one")
        path.chmod(0o666)
        _replaced_as_another_user(path)
        assert path.read_bytes() == b"two"
        assert path.stat().st_uid == 0
        assert list(folder.iterdir()) == [path]


def _replaced_as_another_user(path: Path) -> None:
    script = (
        "import importlib.util, os, sys, pathlib\n"
        "spec = importlib.util.spec_from_file_location('replaced_file', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules[spec.name] = module\n"
        "spec.loader.exec_module(module)\n"
        "os.setgid(54321); os.setuid(12345)\n"
        "module.replace_file(pathlib.Path(sys.argv[2]), b'two')\n"
    )
    source = Path(__file__).parents[1] / "src/thinned/replaced_file.py"
    subprocess.run([sys.executable, "-I", "-c", script, source, path], check=True)


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_read_only_file_is_refused_whoever_asks(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    path.chmod(mode)
    with pytest.raises(PermissionError, match="it is read-only"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_can_t_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    (tmp_path / "loop").symlink_to("loop")
    refused = {
        ".": "it is a folder",
        "no/file": "there is no folder",
        "file/file": "Not a directory",
        "loop": "Too many levels",
        "n" * 256: "too long",
        "null\0": "No file can have this name",
    }
    for name, why in refused.items():
        for action in (check_place, lambda path: replace_file(path, b"two")):
            with pytest.raises(OSError, match=why):
                action(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "loop"}


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    path, found = tmp_path / "fifo", list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    content = bytes(range(256)) * 1024  # more than a pipe holds
    replace_file(path, content)
    reader.join()
    assert found == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_is_written_through_and_stays(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(os.devnull)
    for path in (Path(os.devnull), link):
        replace_file(path, b"one")
        assert stat.S_ISCHR(path.stat().st_mode)
    assert link.is_symlink()
    assert list(tmp_path.iterdir()) == [link]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_error_has_the_name_that_was_given(tmp_path: Path) -> None:
    """Of a device, of a file that is made beside the old one, of a file that is written in place."""
    with pytest.raises(OSError, match="No space left") as caught:
        replace_file(Path("/dev/full"), b"one")
    assert caught.value.filename == "/dev/full"
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"one")
        if name == "two":
            os.link(tmp_path / name, tmp_path / "other")
        with files_of_at_most(100), pytest.raises(OSError, match="File too large") as caught:
            replace_file(tmp_path / name, bytes(1000))
        assert caught.value.filename == str(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"one"


def test_a_socket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))
        with pytest.raises(OSError, match="No such device"):
            replace_file(path, b"one")
    assert stat.S_ISSOCK(path.stat().st_mode)


@pytest.mark.parametrize("to", ["pipe", "file", "a file's end"])
def test_open_streams_are_written_on(tmp_path: Path, to: str) -> None:
    """What a shell sends elsewhere, as by `| cat`, `> out` and `>> out`, stays sent there."""
    out = tmp_path / "out"
    out.write_bytes(b"before\n")
    script = (
        "import os\nfrom pathlib import Path\nfrom thinned.replaced_file import replace_file\n"
        "os.write(1, b'first\\n')\nreplace_file(Path('/dev/stdout'), b'second\\n')\n"
        "replace_file(Path('/proc/self/fd/1'), b'third\\n')\nos.write(1, b'last\\n')\n"
    )
    with out.open("ab" if to == "a file's end" else "wb") as stream:
        target = subprocess.PIPE if to == "pipe" else stream
        done = subprocess.run([sys.executable, "-c", script], stdout=target, check=True)
    written = done.stdout if to == "pipe" else out.read_bytes()
    assert written == (b"before\n" if to == "a file's end" else b"") + b"first\nsecond\nthird\nlast\n"


@pytest.mark.parametrize("names", [1, 2])
def test_a_change_made_meanwhile_is_not_lost(tmp_path: Path, names: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"edited")
    if names == 2:
        os.link(path, tmp_path / "other")
    with pytest.raises(ChangedFileError, match="it was changed meanwhile"):
        replace_file(path, b"two", expected=b"one")
    assert path.read_bytes() == b"edited"
    assert len(list(tmp_path.iterdir())) == names
    replace_file(path, b"two", expected=b"edited")
    assert path.read_bytes() == b"two"
