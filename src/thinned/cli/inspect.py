"""`thinned inspect`: every place in a model that draws noise."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from .factory import TargetError, stop
from .target import INPUT_HELP, MODEL_HELP, VERBOSE_HELP, example, failure
from .target import model as load
from .terminal import give

EPILOG = """
Examples:

    thinned inspect net:build --input 8x3x32x32

    thinned inspect torchvision.models:alexnet --input 2x3x224x224

    thinned inspect bert:tiny --input input_ids=int64:8x16 --output-format json > places.json
"""


class InspectFormat(StrEnum):
    text = "text"
    json = "json"


def inspect(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    input: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
    passes: Annotated[int, typer.Option(min=1, help="At most so many forward passes to measure rates on.")] = 8,
    verbose: Annotated[bool, typer.Option("--verbose", help=VERBOSE_HELP)] = False,
    output_format: Annotated[InspectFormat, typer.Option(help="How to print what is found.")] = InspectFormat.text,
) -> None:
    """Run a model in both modes and show every place that draws noise: what it is, its p, and what it really drops.

    Exit code 2: no such model or input, or one that the model does not take.
    """
    from ..model.inspect.inspect import inspect as run

    try:
        network, (args, kwargs) = load(model), example(input or [])
    except TargetError as error:
        raise stop("inspect", error, verbose=verbose) from None
    try:
        found = run(network, *args, passes=passes, **kwargs)
    except Exception as error:
        told = TargetError(failure(model, input or [], error))
        told.__cause__ = error
        raise stop("inspect", told, verbose=verbose) from error
    if output_format is InspectFormat.json:
        give(found.to_json())
        return
    console = Console()
    if console.is_terminal:
        console.print(found)
    else:
        give(str(found))
