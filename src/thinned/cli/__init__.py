"""The command `thinned`: one file a verb."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line; without its packages, say in one line how to get them."""
    if any(find_spec(name) is None for name in ("typer", "rich")):
        print("thinned: the command line needs pip install 'thinned[study]'", file=sys.stderr)  # noqa: T201
        raise SystemExit(1)
    from .app import app
    from .ending import said_if_unprinted

    with said_if_unprinted():
        app(prog_name="thinned")
