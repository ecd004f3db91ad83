"""Applies the fixes of findings to source files. All edits of a fix are made or none; the result is valid Python."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Unpack

from ...replaced_file import replace_file
from .finding import Finding, Fix
from .formats import ERROR
from .lens.source_file import parsed, read
from .notebook import SUFFIX, notebook
from .rule import Rule
from .walk import Options, check_text, files

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
    made, limit = 0, (len(text) + 1, 0)
    for finding in sorted(findings, key=lambda finding: (finding.line, finding.column), reverse=True):
        if finding.fix is None:
            continue
        changed, start = _made(text, finding.fix, limit)
        if changed is None:
            continue
        try:
            parsed(changed)
        except SyntaxError:
            continue
        text, limit, made = changed, start, made + 1
    return text, made


def _made(text: str, fix: Fix, limit: tuple[int, int]) -> tuple[str | None, tuple[int, int]]:
    """The text with the edits of a fix, or None if an edit reaches beyond `limit`; and the start of the first edit."""
    lines = _starts(text)
    end = limit
    for edit in sorted(fix.edits, reverse=True):
        if (edit.end_line, edit.end_column) > end:
            return None, limit
        start, stop = lines[edit.line - 1] + edit.column - 1, lines[edit.end_line - 1] + edit.end_column - 1
        text = text[:start] + edit.text + text[stop:]
        end = (edit.line, edit.column)
    return text, end


def _starts(text: str) -> list[int]:
    """The index at which each line starts; lines end as in Python."""
    starts, place = [0], 0
    while place < len(text):
        if text[place] == "\n" or (text[place] == "\r" and text[place + 1 : place + 2] != "\n"):
            starts.append(place + 1)
        place += 1
    return starts


def fix_file(path: Path, chosen: Iterable[Rule]) -> int:
    """Fix a file in place. The file is replaced in one step; line ends, encoding and permissions stay.

    Returns:
        The number of fixes.
    """
    text, encoding = read(path)
    changed, made = fixed(str(path), text, chosen)
    if made:
        real = path.resolve()
        replace_file(real, changed.encode(encoding), stat.S_IMODE(real.stat().st_mode))
    return made


class Mended(NamedTuple):
    """The number of fixes that were made, or would be made, and their difference as a unified diff.

    Notebooks are not rewritten: `notebooks` has those with a finding that could be mended in a file of Python.
    """

    fixes: int
    diff: str
    notebooks: tuple[str, ...] = ()


def mend(paths: Iterable[str | os.PathLike[str]], *, preview: bool = False, **options: Unpack[Options]) -> Mended:
    """Make every possible fix in files and in the files of folders. With `preview`, only compute the difference.

    The options are those of `check_paths`. A file that is no valid Python is left alone: `check_paths` reports it.
    So is a notebook.
    """
    count, changes, notebooks = 0, [], []
    for path, settings in files(paths, **options):
        try:
            chosen = settings.rules("source", path.resolve())
            made = 0
            if path.suffix == SUFFIX:
                text = notebook(str(path), path.read_bytes(), ERROR).text
                if any(finding.fix is not None for finding in check_text(str(path), text, chosen)):
                    notebooks.append(str(path))
            elif preview:
                before = read(path)[0]
                after, made = fixed(str(path), before, chosen)
                changes.append(_difference(str(path), before, after))
            else:
                made = fix_file(path, chosen)
        except (SyntaxError, UnicodeEncodeError):
            continue
        count += made
    return Mended(count, "".join(changes), tuple(notebooks))


def _difference(path: str, before: str, after: str) -> str:
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    lines = difflib.unified_diff(old, new, path, path)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
