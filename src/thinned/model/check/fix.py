"""Findings mended in the source: each fix wholly or not at all, and never a file that no longer parses."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Unpack

from ...replaced_file import replace_file
from .finding import Finding, Fix
from .lens.source_file import parsed, read
from .rule import Rule
from .walk import Options, check_text, files

_PASSES = 10  # a fix may uncover another; none of ours makes a new one


def fixed(path: str, text: str, chosen: Iterable[Rule]) -> tuple[str, int]:
    """The text with every safe fix made, and how many were.

    Raises: SyntaxError for a text that is no Python to begin with.
    """
    chosen, made = list(chosen), 0
    for _ in range(_PASSES):
        text, number = apply(text, check_text(path, text, chosen))
        made += number
        if not number:
            break
    return text, made


def apply(text: str, findings: Iterable[Finding]) -> tuple[str, int]:
    """One pass: the fixes that don't overlap, from the end to the beginning; one that breaks the text is left out."""
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
    """The text with the fix's edits, unless they reach beyond `limit`; and where the first of them starts."""
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
    """Where each line starts, lines being Python's."""
    starts, place = [0], 0
    while place < len(text):
        if text[place] == "\n" or (text[place] == "\r" and text[place + 1 : place + 2] != "\n"):
            starts.append(place + 1)
        place += 1
    return starts


def fix_file(path: Path, chosen: Iterable[Rule]) -> int:
    """Mend a file in place, all of it or nothing; its line ends, its encoding and its permissions stay.

    Returns how many fixes were made.
    """
    text, encoding = read(path)
    changed, made = fixed(str(path), text, chosen)
    if made:
        real = path.resolve()
        replace_file(real, changed.encode(encoding), stat.S_IMODE(real.stat().st_mode))
    return made


class Mended(NamedTuple):
    """How many fixes were made, or would be, and the difference they make."""

    fixes: int
    diff: str


def mend(paths: Iterable[str | os.PathLike[str]], *, preview: bool = False, **options: Unpack[Options]) -> Mended:
    """Make every safe fix in files and below folders, or with `preview` tell what that would change.

    A file that can't be read or parsed is left alone; `check_paths`, whose options are taken, reports it.
    """
    count, changes = 0, []
    for path, settings in files(paths, **options):
        try:
            chosen = settings.rules("source", path.resolve())
            if preview:
                before = read(path)[0]
                after, made = fixed(str(path), before, chosen)
                changes.append(_difference(str(path), before, after))
            else:
                made = fix_file(path, chosen)
        except (SyntaxError, UnicodeEncodeError):
            continue
        count += made
    return Mended(count, "".join(changes))


def _difference(path: str, before: str, after: str) -> str:
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    lines = difflib.unified_diff(old, new, path, path)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
