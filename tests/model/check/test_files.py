"""Whatever lies in a folder: the rest of it is checked and mended, and what is not is named. Nothing is lost."""

from __future__ import annotations

import codecs
import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from thinned.model.check import fix
from thinned.model.check.fix import mend
from thinned.model.check.registry import rules
from thinned.model.check.settings import settings_for
from thinned.model.check.walk import check_paths
from thinned.replaced_file import replace_file

from .conftest import BAD, GOOD, NET, Write

RULES = list(rules().values())
LATE = NET.format(call="F.dropout({})")


def chained(head: str, tail: str, times: int) -> str:
    return LATE.format(head + tail * times)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


def link(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


def holding(text: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(text if isinstance(text, bytes) else text.encode())


# What is made at a path, and what is said of it.
NOT_CHECKED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a FIFO": (fifo, "is a FIFO"),
    "a socket": (bound, "is a socket"),
    "a device": (link("/dev/zero"), "is a device"),
    "a link to itself": (link("bad.py"), "Too many levels of symbolic links"),
    "a link to nothing": (link("nowhere"), "No such file"),
    "too much": (holding("x = 1\n" * 2_000_000), "at most 10 MB"),
    "a null byte": (holding("import torch\0\n"), "null bytes"),
    "no UTF-8": (holding(b"import torch\n\n# \xff\n"), "can't be read as text"),
    "undefined": (holding(f"# coding: undefined\n{BAD}"), "undefined is no encoding for source"),
    "punycode": (holding(f"# coding: punycode\n{BAD}"), "punycode is no encoding for source"),
    "idna": (holding(f"# coding: idna\n{BAD}"), "idna is no encoding for source"),
    "rot13": (holding(f"# coding: rot13\n{BAD}"), "can't be read as text"),
    "utf-7": (holding(f"# coding: utf-7\n{BAD}"), "utf-7 is no encoding for source"),
    "utf-16": (holding(f"# coding: utf-16\n{BAD}"), "utf-16 is no encoding for source"),
    "utf-32": (holding(BAD.encode("utf-32")), "can't be read as text|null bytes|encoding"),
    "unicode_escape": (holding(f"# coding: unicode_escape\n{BAD}"), "unicode_escape is no encoding for source"),
    "raw_unicode_escape": (holding(f"# coding: raw_unicode_escape\n{BAD}"), "is no encoding for source"),
    "hz": (holding(f"# coding: hz\n{BAD}"), "hz is no encoding for source"),
    "EBCDIC": (holding(f"# coding: cp037\n{BAD}"), "cp037 is no encoding for source"),
    "an unknown encoding": (holding(f"# coding: nonsense\n{BAD}"), "unknown encoding"),
    "calls in a call": (holding(chained("x", ".f()", 2_000)), "nested too deeply"),
    "attributes": (holding(chained("x", ".f", 5_000)), "nested too deeply"),
    "subscripts": (holding(chained("x", "[0]", 5_000)), "nested too deeply"),
    "a sum": (holding(chained("x, 0.1", " + 0.1", 20_000)), "nested too deeply"),
    "branches": (holding("import torch\nif a: pass\n" + "elif a: pass\n" * 20_000), "nested too deeply"),
    "parentheses": (holding("import torch\nx = " + "(" * 5_000 + ")" * 5_000), "too many nested parentheses"),
}


@pytest.mark.parametrize("kind", NOT_CHECKED)
def test_what_can_t_be_checked_is_named_and_the_rest_is_checked_and_mended(write: Write, kind: str) -> None:
    make, said = NOT_CHECKED[kind]
    paths = write("a.py"), write("z.py")
    make(paths[0].with_name("bad.py"))
    found = check_paths(["."])
    assert [finding.file for finding in found] == ["a.py", "z.py"]
    assert [error.file for error in found.errors] == ["bad.py"]
    assert re.search(said, found.errors[0].message)
    assert str(found).count("\n") == 3
    assert [error.file for error in check_paths(["bad.py"]).errors] == ["bad.py"]
    assert mend(["."]) == fix.Mended(2, "")
    assert [path.read_text() for path in paths] == [GOOD, GOOD]


@pytest.mark.parametrize("times", [900, 300])
def test_long_chains_are_checked_or_named(write: Write, times: int) -> None:
    for number, text in enumerate((NET.format(call="F.dropout(x)" + ".f()" * times), chained("x", ".f()", times))):
        write(f"chain{number}.py", text)
    write("z.py")
    found = check_paths(["."])
    assert {finding.file for finding in (*found, *found.errors)} == {"chain0.py", "chain1.py", "z.py"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (holding("x = " + "[" * 5_000), "nested too deeply"),
        (holding("[tool.thinned"), "can't be read"),
        (holding(b"# \xff"), "can't be read"),
        (holding("[tool.thinned]\nnone = 1\n"), "must have no keys but"),
        (fifo, "is a FIFO"),
        (link("pyproject.toml"), "Too many levels"),
    ],
)
def test_settings_that_can_t_be_read_leave_out_their_folder_alone(
    write: Write, make: Callable[[Path], object], said: str
) -> None:
    write("a/net.py")
    paths = write("b/net.py"), write("b/c/net.py")
    make(paths[0].with_name("pyproject.toml"))
    found = check_paths(["."])
    assert [finding.file for finding in found] == ["a/net.py"]
    assert [error.file for error in found.errors] == ["b"]
    assert said in found.errors[0].message
    assert mend(["."]).fixes == 1
    assert [path.read_text() for path in paths] == [BAD, BAD]


def test_a_folder_that_can_t_be_entered_is_named(write: Write) -> None:
    write("a/net.py")
    top = os.open(".", os.O_RDONLY)
    for _ in range(25):  # a path longer than the system has: deep folders can be made step by step
        os.mkdir("d" * 200)  # noqa: PTH102
        os.chdir("d" * 200)
    os.fchdir(top)
    os.close(top)
    found = check_paths(["."])
    assert [finding.file for finding in found] == ["a/net.py"]
    assert "too long" in found.errors[0].message


def test_what_lies_outside_of_the_folder_is_checked_and_not_mended(write: Write) -> None:
    outside, inside = write("outside/net.py"), write("src/real.py")
    for name, target in (("far", outside), ("near", inside)):
        (inside.with_name(f"{name}.py")).symlink_to(os.path.relpath(target, inside.parent))
    assert len(check_paths(["src"])) == 2
    for preview in (True, False):
        made = mend(["src"], preview=preview)
        assert made.fixes == 1
        ((name, why),) = made.left
        assert name == "src/far.py"
        assert "outside of what is checked" in why
    assert (outside.read_text(), inside.read_text()) == (BAD, GOOD)
    assert (inside.with_name("near.py")).is_symlink()
    assert mend(["src/far.py"]).fixes == 1  # which is named
    assert outside.read_text() == GOOD


def test_a_file_that_can_t_be_written_does_not_stop_the_others(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(f"{name}.py") for name in "abcd"]
    paths[1].chmod(0o444)
    write_it = replace_file

    def full(path: Path, *given: object, **named: object) -> None:
        if path.name == "c.py":
            raise OSError(28, "No space left on device")
        write_it(path, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("thinned.model.check.fix.replace_file", full)
    made = mend(["."])
    assert made.fixes == 2
    assert made.left == (
        ("b.py", "it can't be written: it is read-only"),
        ("c.py", "it can't be written: No space left on device"),
    )
    assert [path.read_text() for path in paths] == [GOOD, BAD, BAD, GOOD]


def test_an_edit_that_is_saved_meanwhile_is_not_lost(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write("a.py"), write("b.py")
    edited = BAD + "\n# saved while the file was checked\n"
    work_out = fix.fixed

    def slow(path: str, *given: object) -> tuple[str, int]:
        if path == "a.py":
            paths[0].write_text(edited)
        return work_out(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(fix, "fixed", slow)
    made = mend(["."])
    assert made == fix.Mended(1, "", (), (("a.py", "it can't be written: it was changed meanwhile"),))
    assert [path.read_text() for path in paths] == [edited, GOOD]


# Encodings, and a text that they can hold.
KEPT = {
    "utf-8": "Müller 漢字 🎲",
    "utf-8-sig": "Müller 漢字",
    "latin-1": "Müller",
    "cp1252": "Müller €",
    "koi8-r": "Привет",
    "shift_jis": "漢字ソ",  # whose last byte is a backslash
    "euc-jp": "漢字",
    "iso-2022-jp": "漢字 and 漢字",
    "gb18030": "漢字 🎲",
    "big5": "功",  # the same
    "mac-roman": "Müller",
}
END = {"\n": "\n", "\r\n": "\r\n", "\r": "\r"}


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize("encoding", KEPT)
def test_bytes_outside_of_the_change_are_the_same_bytes(write: Write, encoding: str, end: str) -> None:
    marked = "" if encoding == "utf-8-sig" else f"# -*- coding: {encoding} -*-\n"
    text = f"{marked}name = '{KEPT[encoding]}'\n\x0c\n{BAD}\nlast = '{KEPT[encoding]}'".replace("\n", end)
    path = write("net.py")
    content = text.encode(encoding)
    path.write_bytes(content)
    assert mend(["."]).left == ()
    assert path.read_bytes() == content.replace(b"0.5)", b"0.5, training=self.training)")
    assert path.read_bytes().startswith(codecs.BOM_UTF8) == (encoding == "utf-8-sig")


@pytest.mark.parametrize(
    ("encoding", "more"),
    [
        ("iso-2022-jp", b"\x1b(B\x1b(Ba"),
        ("cp932", b"\x87\x90"),  # a sign that has another code too
        ("big5", b"\xa2\xcc"),
    ],
)
def test_an_encoding_that_does_not_come_back_is_refused_by_name(write: Write, encoding: str, more: bytes) -> None:
    path = write("net.py")
    content = f"# coding: {encoding}\n{BAD}# ".encode() + more + b"\n"
    path.write_bytes(content)
    made = mend(["."])
    assert made.fixes == 0
    ((name, why),) = made.left
    assert name == "net.py"
    assert f"its encoding, {encoding}, does not give its bytes back" in why
    assert path.read_bytes() == content
    assert mend(["."], preview=True) == made


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives a file to another user")
def test_owner_permissions_and_other_names_stay(write: Write, tmp_path: Path) -> None:
    path, other = write("net.py"), write("other.py")
    path.chmod(0o640)
    os.chown(path, 12345, 54321)
    os.link(other, tmp_path / "name.txt")
    assert mend(["."]).fixes == 2
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 54321, 0o640)
    assert (tmp_path / "name.txt").read_text() == GOOD
    assert other.samefile(tmp_path / "name.txt")


def test_names_of_files_are_shown_and_do_nothing(write: Write) -> None:
    names = ["a\x1b[31m.py", "b\nTHN999.py", "c[/b][red].py", "d\x9b2J.py", "e\u202e.py", os.fsdecode(b"f\xff.py")]
    for name in names:
        write(name)
    found = check_paths(["."])
    assert [finding.file for finding in found] == sorted(names)
    shown = str(found).splitlines()
    assert [line.partition(".py:")[0] for line in shown[:-1]] == [
        *("a\\x1b[31m", "b\\nTHN999", "c[/b][red]", "d\\x9b2J", "e\\u202e", "f\\xff"),
    ]
    for text in (found.to_json(), found.to_sarif(), str(found)):
        text.encode()
    settings_for.cache_clear()
