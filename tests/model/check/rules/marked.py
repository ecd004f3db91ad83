"""Source whose lines say what is to be found in them: `#! THN112 THN207` at the end."""

from __future__ import annotations

from pathlib import Path

import thinned


def assert_found_where_marked(source: str, folder: Path) -> None:
    """Every rule runs; each mark is found on its line, and nothing else is."""
    (folder / "marked.py").write_text(source)
    lines = [(number, *line.partition("#! ")[1:]) for number, line in enumerate(source.splitlines(), 1)]
    expected = {(number, code) for number, mark, codes in lines if mark for code in codes.split()}
    found = thinned.check(folder)
    assert {(finding.line, finding.code) for finding in found} == expected
    assert not found.nothing
