"""`thinned plan`: where dropout should go in a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..replaced_file import check_place
from .factory import TargetError, stop
from .target import INPUT_HELP, MODEL_HELP, VERBOSE_HELP, example, failure
from .target import model as load
from .terminal import give, say

FAILED = 2

EPILOG = """
Examples:

    thinned plan net:build --input 8x3x32x32

    thinned plan torchvision.models:resnet18 --input 4x3x64x64 -o plan.toml

Then, after editing the file: thinned.apply(model, thinned.Plan.load("plan.toml")).
"""


def plan(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    input: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A TOML file for the plan, to be edited and applied.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite that file.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help=VERBOSE_HELP)] = False,
) -> None:
    """Show where dropout should go in a model, which form, with which p, and why; nothing is trained or changed.

    Exit code 2: no such model or input, one that the model does not take, or a file that cannot be written.
    """
    from ..model.plan.planning import plan as make

    try:
        network, (args, kwargs) = load(model), example(input or [])
    except TargetError as error:
        raise stop("plan", error, verbose=verbose) from None
    if output is not None:
        try:
            check_place(output)
        except OSError as error:
            raise _failed(f"{output} cannot be written: {error.strerror}.") from None
        if output.is_file() and not force:
            raise _failed(f"{output} is there, and may have been edited. Pass --force to overwrite it.")
    try:
        found = make(network, *args, **kwargs)
    except Exception as error:
        told = TargetError(failure(model, input or [], error))
        told.__cause__ = error
        raise stop("plan", told, verbose=verbose) from error
    give(str(found))
    if output is not None:
        try:
            found.save(output)
        except OSError as error:
            raise _failed(f"{output} cannot be written: {error.strerror}.") from None
        say(f"\nWritten to {output}: edit it, then thinned.apply(model, thinned.Plan.load({str(output)!r})).")


def _failed(message: str) -> typer.Exit:
    say(f"thinned plan: {message}", err=True)
    return typer.Exit(FAILED)
