"""Reads the Python in a Jupyter notebook: its code cells as one text, with the cell and the line of each line of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...regular_file import read_regular
from .finding import Finding
from .formats import ERROR
from .lens.source_file import parsed

SUFFIX = ".ipynb"
_LIMIT = 100_000_000  # bytes: a notebook holds the pictures of its output
# Cell magics whose cell is Python: `%%time`. The cell of any other, as `%%bash`, is passed over.
_PYTHON = {"capture", "debug", "prun", "pypy", "python", "python3", "time", "timeit"}
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
# A line for IPython: `%magic`, `!command`, `?name`, `name?`; and `x = !command`, of which the name stays.
_LINE = re.compile(r"\s*([%!?].*|[\w.*%\[\]'\"]+\s*\?\??\s*)$", re.DOTALL)
_NAME = r"\*?[A-Za-z_][\w.]*(?:\[[^\]]*\])?"
_ASSIGNED = re.compile(rf"(\s*{_NAME}(?:\s*,\s*{_NAME})*\s*=\s*)[!%]")
_STRING = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\\n])*(?:\"|$)|'(?:\\.|[^'\\\n])*(?:'|$)|#.*|[()\[\]{}]|\\\s*$")


@dataclass
class Notebook:
    """The code of a notebook.

    Cell 2 has the lines `%matplotlib inline` and `x = 1`. The text has `pass` and `x = 1`, and `lines` has (2, 1) and
    (2, 2). Cells are counted from 1, those of text among them, as ruff counts.
    """

    parts: list[str] = field(default_factory=list)  # the text of each cell
    lines: list[tuple[int, int]] = field(default_factory=list)  # the cell and its line, for each line of the text
    errors: list[Finding] = field(default_factory=list)  # the cells that are no valid Python

    @property
    def text(self) -> str:
        """The code of all cells."""
        return "".join(self.parts)

    def place(self, finding: Finding) -> Finding:
        """A finding in the text as one in the notebook. It has no fix: notebooks are not rewritten."""
        cell, line = self.lines[finding.line - 1]
        return replace(finding, cell=cell, line=line, fix=None)


def read_notebook(path: Path) -> Notebook:
    """The code of the notebook that a file holds; none if its language is another than Python.

    Raises:
        OSError: it can't be read, is no regular file, or is too large.
        SyntaxError: the file is no notebook.
    """
    content = read_regular(path, _LIMIT)
    try:
        held = json.loads(content.decode("utf-8-sig"))
        cells = [cell for sheet in held.get("worksheets", [held]) for cell in sheet["cells"]]
        found = Notebook()
        for number, source in _sources(held, cells):
            _add(found, str(path), number, source)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise SyntaxError(f"no valid notebook: {problem}", (str(path), 1, 1, "")) from None
    return found


def _sources(held: dict[str, Any], cells: Iterable[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """The number and the text of each cell of Python."""
    about = held.get("metadata", {})
    language = about.get("language_info", {}).get("name") or about.get("kernelspec", {}).get("language") or "python"
    for number, cell in enumerate(cells, 1):
        own = cell.get("metadata", {}).get("vscode", {}).get("languageId") or language
        if cell["cell_type"] == "code" and "python" in own.lower():
            source = cell["source"] if "source" in cell else cell["input"]
            yield number, source if isinstance(source, str) else "".join(source)


def _add(found: Notebook, path: str, number: int, source: str) -> None:
    lines = list(python_lines(source))
    text = "".join(f"{line}\n" for line in lines)
    try:
        parsed(text, path)
    except SyntaxError as problem:
        message = f"no valid Python: {problem.msg}"
        found.errors.append(
            Finding(ERROR, message, path, min(problem.lineno or 1, len(lines)), problem.offset or 1, cell=number)
        )
        return
    found.parts.append(text)
    found.lines += [(number, line) for line in range(1, len(lines) + 1)]


def python_lines(source: str) -> Iterator[str]:
    """The lines of a cell as Python: a line for IPython becomes `pass`, and `x = !ls` becomes `x = None`.

    >>> list(python_lines("%matplotlib inline\\nfiles = !ls\\ny = (a\\n     % b)"))
    ['pass', 'files = None', 'y = (a', '     % b)']
    >>> list(python_lines("%%bash\\nls"))
    ['', '']
    """
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    magic = _CELL_MAGIC.match(lines[first])
    if magic is not None and magic[1] not in _PYTHON:
        yield from ("" for _ in lines)
        return
    if magic is not None:
        lines[first] = ""
    inside, continued = "", False  # what is open at the end of a line: brackets or a long string; a line for IPython
    for line in lines:
        if continued:
            continued = line.rstrip().endswith("\\")
            yield ""
            continue
        written = None if inside else _as_python(line)
        if written is None:
            inside = _open(line, inside)
            yield line
        else:
            continued = line.rstrip().endswith("\\")
            yield written


def _as_python(line: str) -> str | None:
    """A line for IPython as Python; None for a line of Python."""
    if _LINE.match(line):
        return f"{line[: len(line) - len(line.lstrip())]}pass"
    assigned = _ASSIGNED.match(line)
    return f"{assigned[1]}None" if assigned else None


def _open(line: str, inside: str) -> str:
    r"""What is open after a line, as its signs: the brackets, a long string's quotes, or a backslash.

    >>> _open("y = f(a, [", ""), _open("1])", "(["), _open("s = \'\'\'(", "")
    ('([', '', "'''")
    """
    inside = inside.removesuffix("\\")
    place = 0
    if inside[-3:] in ('"""', "'''"):
        end = line.find(inside[-3:])
        if end < 0:
            return inside
        inside, place = inside[:-3], end + 3
    while (match := _STRING.search(line, place)) is not None:
        sign, place = match[0], match.end()
        if sign in ('"""', "'''"):
            end = line.find(sign, place)
            if end < 0:
                return inside + sign
            place = end + 3
        elif sign in "([{":
            inside += sign
        elif sign in ")]}":
            inside = inside[:-1]
        elif sign.startswith("\\"):
            inside += "\\"
    return inside
