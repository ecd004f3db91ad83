"""`thinned variants`: every form of dropout, one row each."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def variants() -> None:
    """Print every form of dropout: where its noise sits, which axes share a draw, its law, its scaling, its paper."""
    from ..nn.variants import VARIANTS

    table = Table(show_lines=False)
    for name in ("name", "where", "shared axes", "law", "scaling", "paper"):
        table.add_column(name, overflow="fold")
    for row in VARIANTS:
        name = row.name + (f" ({', '.join(row.aliases)})" if row.aliases else "")
        table.add_row(name, row.where, row.shared, row.law, row.scaling, row.paper)
    Console().print(table)
