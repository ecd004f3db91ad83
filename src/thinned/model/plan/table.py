"""Prints a plan as a table."""

from __future__ import annotations

from collections.abc import Sequence

from ...plain_text import plain_line
from ..text_table import text_table
from .line import PlanLine

_HEADINGS = ("", "where", "variant", "p", "shape", "reason")


def table(lines: Sequence[PlanLine], there: Sequence[str], notes: Sequence[str]) -> str:
    """A row for each line of the plan, with [x] if it is enabled; then the model's own dropout, and the notes.

    >>> line = PlanLine("input of fc", "Dropout", 0.5, (8, 512), "Wide hidden layer.", "Srivastava et al. 2014")
    >>> print(table([line], [], []))
         where        variant  p    shape  reason
    [x]  input of fc  Dropout  0.5  8x512  Wide hidden layer. (Srivastava et al. 2014)
    """
    rows = [
        (
            "[x]" if line.enabled else "[ ]",
            line.where,
            line.variant,
            f"{line.p:g}",
            "x".join(map(str, line.shape)),
            line.reason + (f" ({line.source})" if line.source else ""),
        )
        for line in lines
    ]
    text = text_table(_HEADINGS, rows) if rows else ["No place for dropout was found."]
    if there:
        text += ["", "Already there, and left as it is:", *(f"  {plain_line(item)}" for item in there)]
    if notes:
        text += ["", *(f"Note: {plain_line(note)}" for note in notes)]
    return "\n".join(text)
