"""A plan as a plain table."""

from __future__ import annotations

from collections.abc import Sequence

from .line import PlanLine

_HEADINGS = ("", "where", "variant", "p", "shape", "reason")


def table(lines: Sequence[PlanLine], there: Sequence[str], notes: Sequence[str]) -> str:
    """One line a place, [x] where it is enabled; then what is there already, and the notes.

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
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (_HEADINGS, *rows)
    ]
    if not rows:
        text = ["No place for dropout was found."]
    if there:
        text += ["", "Already there, and left as it is:", *(f"  {item}" for item in there)]
    if notes:
        text += ["", *(f"Note: {note}" for note in notes)]
    return "\n".join(text)
