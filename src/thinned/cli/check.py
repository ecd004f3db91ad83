"""`thinned check`: what is wrong with the dropout in source code, or in a model."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..model.check.findings import Findings
from ..model.check.formats import is_advice, text, where
from ..model.check.settings import CheckError
from ..model.check.walk import Options, check_paths
from .factory import TargetError, stop
from .target import INPUT_HELP, MODEL_HELP, VERBOSE_HELP
from .terminal import cell, give, say, show

if TYPE_CHECKING:
    from ..model.check.fix import Mended

FOUND, FAILED = 1, 2  # exit codes, as ruff's

EPILOG = """
Exit codes: 0 nothing found but advice, 1 something found, 2 a file could not be read or not be mended, an option could
not be used, or there was nothing to check.

Examples:

    thinned check src/                                       source code, which is read and never run

    thinned check src/ --fix                                 mend what is safe to mend; --diff shows it first

    thinned check --model net:build --input 8x3x32x32        a model, which is run on an input

    thinned check src/ --output-format sarif > dropout.sarif
"""


class CheckFormat(StrEnum):
    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def check(
    paths: Annotated[list[str] | None, typer.Argument(help="Files and folders of Python source and notebooks.")] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    input: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
    select: Annotated[
        list[str] | None, typer.Option(help="Rules to use: codes or their beginnings, as THN1,THN402.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Rules not to use.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Patterns of paths to leave out.")] = None,
    force_exclude: Annotated[
        bool, typer.Option("--force-exclude", help="Leave excluded files out even where they are named.")
    ] = False,
    output_format: Annotated[CheckFormat, typer.Option(help="How to print what is found.")] = CheckFormat.text,
    fix: Annotated[bool, typer.Option("--fix", help="Mend in the source what is safe to mend.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would change, and change nothing.")] = False,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Exit with 0 where there is nothing to check: no file that uses torch."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help=VERBOSE_HELP)] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 whatever is found.")] = False,
) -> None:
    """Check dropout by rules: source code (PATHS), or a live model (--model and --input)."""
    paths, made = paths or [], None
    try:
        if (model is None) == (not paths):
            raise CheckError("give PATHS, or --model and --input: one of the two.")
        if model is not None:
            if fix or diff:
                raise CheckError("--fix and --diff are for source code, not for --model.")
            found = _live(model, input or [], select or None, ignore or [])
        else:
            if input:
                raise CheckError("--input belongs to --model.")
            options = Options(
                select=select or None, ignore=ignore or [], exclude=exclude or [], force_exclude=force_exclude
            )
            if fix or diff:
                from ..model.check.fix import mend

                with collected_later():
                    made = mend(paths, preview=diff, **options)
                _tell(made, preview=diff)
            with collected_later():
                found = check_paths(paths, **options)
    except (CheckError, OSError) as error:
        raise stop("check", error, verbose=verbose) from None
    failed = bool(found.errors or (made and made.left))
    if diff and made is not None and (made.fixes or not found.nothing):
        for line in text(found.errors):
            say(line, err=True)
        (say if sys.stdout is not None and sys.stdout.isatty() else give)(made.diff, nl=False)
        raise typer.Exit(FAILED if failed else FOUND if made.fixes and not exit_zero else 0)
    _print(found, output_format)
    if found.nothing:
        raise typer.Exit(0 if allow_empty else FAILED)
    raise typer.Exit(FAILED if failed else FOUND if found.failed and not exit_zero else 0)


def _tell(made: Mended, *, preview: bool) -> None:
    """Say what was mended, or would be, and what is left."""
    fixes = f"{made.fixes} fix." if made.fixes == 1 else f"{made.fixes} fixes."
    say(f"Would make {fixes}" if preview else f"Made {fixes}", err=True)
    for name in made.notebooks:
        say(f"{name}: notebooks are not rewritten. Mend the findings in it by hand.", err=True)
    for name, why in made.left:
        say(f"{name}: left as it is: {why}. Mend the findings in it by hand.", err=True)


@contextmanager
def collected_later() -> Iterator[None]:
    """Without collections of garbage, which go through the trees of source again and again, up to a third of the time.

    For this command's own process. No circle keeps a file: nearly all of its memory is free as soon as it is done.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _live(model: str, inputs: list[str], select: list[str] | None, ignore: list[str]) -> Findings:
    from ..model.check.examine import check_model
    from . import target

    try:
        network, (args, kwargs) = target.model(model), target.example(inputs)
    except TargetError as error:
        raise CheckError(str(error)) from error
    try:
        return check_model(network, args, kwargs, select=select, ignore=ignore)
    except CheckError:
        raise
    except Exception as error:  # the model's own
        raise CheckError(target.failure(model, inputs, error)) from error


def _print(found: Findings, output_format: CheckFormat) -> None:
    if found.nothing and output_format is not CheckFormat.text:
        say(found.summary(), err=True)
    if output_format is CheckFormat.json:
        give(found.to_json())
    elif output_format is CheckFormat.sarif:
        give(found.to_sarif())
    elif output_format is CheckFormat.github:
        if found or found.errors:
            give(found.to_github())
    else:
        console = Console(soft_wrap=True, highlight=False)
        if not console.is_terminal:
            give(str(found))
            return
        for finding in (*found.errors, *found):
            line = cell(where(finding), "bold").append(": ", "dim")
            advice = is_advice(finding)
            line.append(finding.code, "bold yellow" if advice else "bold red")
            line.append(" [*]" if finding.fix else " (advice)" if advice else "", "cyan")
            console.print(line.append(cell(f" {finding.message}", "not bold")))
        show(console, found.summary())
