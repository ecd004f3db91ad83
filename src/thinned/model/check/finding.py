"""What a rule found, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Text to put in place of a span. Lines and columns count characters from 1; the end is the first column after."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that mend a finding together: all of them are made or none."""

    what: str  # the cure as an order: "Add `training=self.training`"
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault at one place.

    Rules make findings by `Rule.at` and `Rule.on`, which fill in the code.
    """

    code: str  # "THN101"
    message: str  # one line
    file: str = ""  # "" where it is not known
    line: int = 0  # from 1; 0 where it is not known
    column: int = 0  # from 1, in characters; 0 where it is not known
    place: str = ""  # of a live finding: the place's or the module's name
    fix: Fix | None = None
