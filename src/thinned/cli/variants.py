"""`thinned variants`: every form of dropout, one row each."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table


def variants() -> None:
    """Print every form of dropout: where its noise sits, which axes share a draw, its law, its scaling, its paper."""
    from ..nn.variants import VARIANTS

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    whole = ("where", "law", "paper")  # words that 80 columns have room for
    for name in ("name", "where", "shared axes", "law", "scaling", "paper"):
        table.add_column(name, no_wrap=name == "name", overflow="fold", min_width=10 if name in whole else None)
    for row in VARIANTS:
        name = "\n".join((row.name, *(f"  {alias}" for alias in row.aliases)))
        table.add_row(name, row.where, row.shared, row.law, row.scaling, row.paper)
    Console().print(table)
