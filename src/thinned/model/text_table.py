"""Rows of text as a plain table."""

from __future__ import annotations

from collections.abc import Sequence

from ..plain_text import plain_line


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table's lines: left-aligned columns, two spaces apart. A cell is one line, without commands to a terminal.

    >>> print(*text_table(("place", "p"), [("encoder.dropout", "0.1"), ("head", "0.5")]), sep="\\n")
    place            p
    encoder.dropout  0.1
    head             0.5
    """
    head, *rows = ([plain_line(text) for text in row] for row in (head, *rows))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
