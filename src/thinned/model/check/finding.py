"""The data of a finding: the fault, its place, and the edits that fix it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """A replacement of a stretch of text. Lines and columns are counted from 1, in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that fix a finding together: all of them are made, or none."""

    what: str  # what the edits do: "Add `training=self.training`"
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault at one place. Rules make findings by `Rule.at` and `Rule.on`, which fill in the code."""

    code: str  # "THN101"
    message: str  # one line
    file: str = ""  # "" if unknown
    line: int = 0  # from 1; 0 if unknown; in a notebook, of the cell
    column: int = 0  # from 1, in characters; 0 if unknown
    place: str = ""  # in a live model: the name of the place or the module
    fix: Fix | None = None
    cell: int = 0  # in a notebook: the number of the cell, from 1, cells of text among them
