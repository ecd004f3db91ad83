"""`thinned rule THN101`: one rule explained."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ..model.check.page import section
from ..model.check.registry import ENTRIES
from ..model.check.registry import rule as load
from .terminal import give, say


def rule(code: Annotated[str, typer.Argument(help="A rule's code, as THN101, or its name.")]) -> None:
    """Explain a rule: what it looks for, why that is bad, an example, what to do instead, where to read more."""
    found = [entry.code for entry in ENTRIES if code.upper() == entry.code or code.lower() == entry.name]
    if not found:
        say(f"thinned rule: CODE must be a rule's code or name. Got {code!r}. See `thinned rules`.", err=True)
        raise typer.Exit(2)
    text, console = section(load(found[0]), level=1), Console()
    if console.is_terminal:
        from rich.markdown import Markdown  # which takes a while

        console.print(Markdown(text))
    else:
        give(text)
