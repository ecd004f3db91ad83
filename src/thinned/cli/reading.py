"""How a table was read, on screen, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .terminal import cell, show

if TYPE_CHECKING:
    from ..study.underway import TableReading

SHOWN = 40  # columns; of more, those that are plain numbers are counted


def show_reading(console: Console, reading: TableReading) -> None:
    """Each column with what it was taken for and why; what was left out or assumed; what is suspicious."""
    if not reading.columns:
        return
    for warning in reading.warnings:
        show(console, f"Note first: {warning}", "yellow")
    for note in reading.notes:
        show(console, note)
    plain = [column for column in reading.columns if column.read_as == "number" and column.why in PLAIN]
    hidden = {column.name for column in plain} if len(reading.columns) > SHOWN else set()
    rest = f" Beside these, {len(hidden):,} columns of numbers." if hidden else ""
    table = Table(
        title=cell(f"{reading.title}: how its columns were read"),
        caption=f"--column NAME=KIND overrules.{rest}",
        title_justify="left",
    )
    for heading in ("column", "read as", "why"):
        table.add_column(heading, overflow="fold")
    for column in reading.columns:
        if column.name not in hidden:
            style = "dim" if column.read_as == "left out" else None
            table.add_row(cell(column.name), column.read_as, cell(column.why), style=style)
    console.print(table)


PLAIN = ("numbers", "whole numbers")
