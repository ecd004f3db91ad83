"""`thinned rules`: every rule of `thinned check`, one row each."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from ..model.check.registry import rules as known


def rules() -> None:
    """List the rules: code, name, what each looks at, and what it finds. `thinned rule CODE` explains one."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("code", "name", "looks at", "finds"):
        table.add_column(name, no_wrap=name == "code", overflow="fold")
    for rule in known().values():
        table.add_row(rule.code, rule.name, " and ".join(rule.looks_at), rule.summary)
    Console().print(table)
