"""How a table was read, on screen, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..study.underway import TableReading

SHOWN = 40  # columns; of more, those that are plain numbers are counted


def show_reading(console: Console, reading: TableReading) -> None:
    """Each column with what it was taken for and why; what was left out or assumed; what is suspicious."""
    if not reading.columns:
        return
    for warning in reading.warnings:
        console.print(f"Note first: {warning}", style="yellow", markup=False, highlight=False)
    for note in reading.notes:
        console.print(note, markup=False, highlight=False)
    plain = [column for column in reading.columns if column.read_as == "number" and column.why in PLAIN]
    hidden = {column.name for column in plain} if len(reading.columns) > SHOWN else set()
    rest = f" Beside these, {len(hidden):,} columns of numbers." if hidden else ""
    table = Table(
        title=Text(f"{reading.title}: how its columns were read"),
        caption=f"--column NAME=KIND overrules.{rest}",
        title_justify="left",
    )
    for heading in ("column", "read as", "why"):
        table.add_column(heading, overflow="fold")
    for column in reading.columns:
        if column.name not in hidden:
            style = "dim" if column.read_as == "left out" else None
            table.add_row(Text(column.name), column.read_as, Text(column.why), style=style)
    console.print(table)


PLAIN = ("numbers", "whole numbers")
