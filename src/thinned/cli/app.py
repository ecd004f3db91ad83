"""The verbs, gathered."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from .bench import EPILOG as BENCH_EPILOG
from .bench import bench
from .check import EPILOG as CHECK_EPILOG
from .check import check
from .doctor import doctor
from .inspect import EPILOG as INSPECT_EPILOG
from .inspect import inspect
from .plan import EPILOG as PLAN_EPILOG
from .plan import plan
from .predict import EPILOG as PREDICT_EPILOG
from .predict import predict
from .reproduce import EPILOG as REPRODUCE_EPILOG
from .reproduce import reproduce
from .rule import rule
from .rules import rules
from .study import EPILOG, study
from .variants import variants

app = typer.Typer(
    help="The dropout toolkit for PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command(epilog=EPILOG)(study)
app.command(epilog=PREDICT_EPILOG)(predict)
app.command(epilog=REPRODUCE_EPILOG)(reproduce)
app.command()(variants)
app.command()(doctor)
app.command(epilog=BENCH_EPILOG)(bench)
app.command(epilog=INSPECT_EPILOG)(inspect)
app.command(epilog=CHECK_EPILOG)(check)
app.command(epilog=PLAN_EPILOG)(plan)
app.command()(rules)
app.command()(rule)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"thinned {version('thinned')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """The dropout toolkit for PyTorch."""
