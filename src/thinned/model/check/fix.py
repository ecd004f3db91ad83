"""Applies the fixes of findings to source files. All edits of a fix are made or none; the result is valid Python."""

from __future__ import annotations

import codecs
import difflib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Unpack

from ...plain_text import plain_line
from ...replaced_file import check_place, replace_file
from .finding import Edit, Finding, Fix
from .lens.source_file import Written, parsed, read
from .notebook import SUFFIX, read_notebook
from .rule import Rule
from .walk import Options, check_text, files, real

_PASSES = 10  # after a fix another may be possible; no fix of our rules makes a new fault, so this ends


def fixed(path: str, text: str, chosen: Iterable[Rule]) -> tuple[str, int]:
    """The text with every possible fix made, and the number of fixes.

    Raises:
        SyntaxError: the text is no valid Python.
    """
    chosen, made = list(chosen), 0
    for _ in range(_PASSES):
        text, number = apply(text, check_text(path, text, chosen))
        made += number
        if not number:
            break
    return text, made


def apply(text: str, findings: Iterable[Finding]) -> tuple[str, int]:
    """One pass over the text: make the fixes that don't overlap, from the last to the first, and count them.

    A fix after which the text is no valid Python is left out.
    """
    ordered = sorted(findings, key=lambda finding: (finding.line, finding.column), reverse=True)
    made = _Made(text)
    made.add([finding.fix for finding in ordered if finding.fix is not None])
    return made.text(), made.count


class _Made:
    """The fixes that are made in a text, from the last to the first."""

    def __init__(self, text: str) -> None:
        self.count = 0
        self._before = text
        self._starts = [0, *(end.end() for end in re.finditer(r"\r\n|\r|\n", text))]  # of lines, as in Python
        self._edits: list[Edit] = []
        self._limit = (len(self._starts) + 1, 0)  # where the part begins in which edits are made

    def add(self, fixes: list[Fix]) -> None:
        """Make those of the fixes that lie before all that are made, and leave the text valid.

        All are tried at once. Where the text is not valid then, halves are tried, down to the fix that breaks it.
        """
        before = (self.count, len(self._edits), self._limit)
        for fix in fixes:
            edits = sorted(fix.edits, reverse=True)
            ends = [self._limit, *((edit.line, edit.column) for edit in edits)]
            if all((edit.end_line, edit.end_column) <= end for edit, end in zip(edits, ends, strict=False)):
                self._edits += edits
                self.count, self._limit = self.count + 1, ends[-1]
        try:
            if self.count > before[0]:
                parsed(self.text())
        except SyntaxError:
            self.count, self._limit = before[0], before[2]
            del self._edits[before[1] :]
            if len(fixes) > 1:
                half = len(fixes) // 2
                self.add(fixes[:half])
                self.add(fixes[half:])

    def text(self) -> str:
        """The text with all of them."""
        parts, stop = [], len(self._before)
        for edit in self._edits:
            parts += [self._before[self._place(edit.end_line, edit.end_column) : stop], edit.text]
            stop = self._place(edit.line, edit.column)
        return "".join((self._before[:stop], *reversed(parts)))

    def _place(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column - 1


class NotMendedError(OSError):
    """A file whose fixes can't be written. The message is the reason."""


def encoded(source: Written, changed: str) -> bytes:
    """The bytes of a changed text, of which those of unchanged lines are the bytes that were read.

    Raises:
        NotMendedError: the encoding has other bytes for the same text, or none for the new text.
    """
    marks, encoding = b"", source.encoding
    if encoding == "utf-8-sig":
        marks, encoding = codecs.BOM_UTF8, "utf-8"
    try:
        if marks + _by_lines(source.text, encoding) != source.content:
            raise NotMendedError(f"its encoding, {encoding}, does not give its bytes back")
        new = marks + _by_lines(changed, encoding)
        if new.decode(source.encoding) != changed:
            raise NotMendedError(f"its encoding, {encoding}, does not give the new text back")
    except UnicodeError:
        raise NotMendedError(f"its encoding, {encoding}, has no bytes for the new text") from None
    return new


def _by_lines(text: str, encoding: str) -> bytes:
    """The bytes of each line by itself, so that a line has the same bytes whatever the others are."""
    return b"".join(line.encode(encoding) for line in io.StringIO(text, newline=""))


def write(path: Path, source: Written, changed: str, *, preview: bool = False) -> None:
    """Write the changed text of a file, if the file is still as it was read. With `preview` only see whether it could.

    Raises:
        NotMendedError: it can't be written, was changed meanwhile, or its encoding does not come back.
    """
    content = encoded(source, changed)
    try:
        if preview:
            check_place(path)
        else:
            replace_file(path, content, expected=source.content)
    except OSError as error:
        raise NotMendedError(f"it can't be written: {error.strerror or error}") from error


class Mended(NamedTuple):
    """The number of fixes that were made, or would be made; then `diff` is their difference as a unified diff.

    Notebooks are not rewritten: `notebooks` has those with a finding that could be mended in a file of Python. `left`
    has the files that could not be written or must not be, each with the reason.
    """

    fixes: int
    diff: str
    notebooks: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


def mend(paths: Iterable[str | os.PathLike[str]], *, preview: bool = False, **options: Unpack[Options]) -> Mended:
    """Make every possible fix in files and in the files of folders. With `preview`, only compute the difference.

    The options are those of `check_paths`. A file that is no valid Python is left alone: `check_paths` reports it.
    So is a notebook, and a file outside of the folders to which a link in them leads.
    """
    count, changes, notebooks, left = 0, [], [], []
    paths = list(paths)
    inside = [real(Path(path)) for path in paths]
    for path, settings in files(paths, [], **options):
        try:
            chosen = settings.rules("source", real(path))
            if path.suffix == SUFFIX:
                text = read_notebook(path).text
                if any(finding.fix is not None for finding in check_text(str(path), text, chosen)):
                    notebooks.append(str(path))
                continue
            source = read(path)
            after, made = fixed(str(path), source.text, chosen)
            if made:
                if not any(real(path).is_relative_to(folder) for folder in inside):
                    raise NotMendedError(f"it is a link to {real(path)}, outside of what is checked")
                write(path, source, after, preview=preview)
                if preview:
                    changes.append(_difference(str(path), source.text, after))
            count += made
        except NotMendedError as error:
            left.append((str(path), str(error)))
        except (SyntaxError, OSError, RecursionError, MemoryError):
            continue  # `check_paths` says that it can't be read
    return Mended(count, "".join(changes), tuple(notebooks), tuple(left))


def _difference(path: str, before: str, after: str) -> str:
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    name = plain_line(path)
    lines = difflib.unified_diff(old, new, name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
