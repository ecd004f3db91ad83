"""`thinned study`: does dropout help on these data, and at which p?"""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from ..study.record import Study

INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended

EPILOG = """
Examples:

    thinned study                                        5,000 MNIST digits, under two minutes on two cores

    thinned study patients.csv --target outcome          your table; also .parquet and .npz

    thinned study houses.parquet --target price          numbers are predicted as numbers

    thinned study /usr/share/datasets/fashion-mnist      a folder of IDX images

    thinned study data.csv --target y --p 0.1 --p 0.5 --seeds 10 --hidden 512,512 --out my-study
"""


class TaskName(StrEnum):
    classification = "classification"
    regression = "regression"


def study(
    data: Annotated[
        Path | None,
        typer.Argument(help="A .csv, .parquet or .npz file, or a folder of IDX images. Without it: MNIST digits."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    task: Annotated[TaskName | None, typer.Option(help="How to read the target, if it does not say.")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write. An unfinished study in it is continued.")] = Path(
        "thinned-study"
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 0,
    seeds: Annotated[int, typer.Option(help="How often each p is trained.")] = 5,
    p: Annotated[
        list[float] | None, typer.Option("--p", help="A drop probability to try; repeat it. 0 is always tried.")
    ] = None,
    lr: Annotated[
        list[float] | None, typer.Option("--lr", help="A learning rate to try; repeat it. One alone is taken as given.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training rows.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Units of each hidden layer, as 256,256.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. The numbers do not depend on it.")] = None,
    train_rows: Annotated[int | None, typer.Option(help="How many rows to train on.")] = None,
) -> None:
    """Does dropout help on these data, at which p, with a fair learning rate for each p?"""
    from ..study import StudyError, run_study
    from ..study.run import HIDDEN, LRS, PS
    from ..study.run import Progress as Step

    console, complaints = Console(), Console(stderr=True)
    last = Step(0, 0, "")
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trials"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    try:
        with bar:
            shown = bar.add_task("reading the data", total=None)

            def watch(step: Step) -> None:
                nonlocal last
                last = step
                bar.update(shown, description=step.doing, completed=step.done, total=step.total)

            found = run_study(
                data,
                target=target,
                task=None if task is None else task.value,
                out=out,
                seed=seed,
                seeds=seeds,
                ps=p or PS,
                lrs=lr or LRS,
                epochs=epochs,
                hidden=_sizes(hidden) if hidden is not None else HIDDEN,
                train_rows=train_rows,
                jobs=jobs if jobs is not None else cores(),
                watch=watch,
            )
    except StudyError as error:
        complaints.print(f"thinned study: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        again = shlex.join(["thinned", *sys.argv[1:]])
        complaints.print(
            f"Stopped. {last.done} of about {last.total} trials are kept in {out}. Go on with: {again}"
            if last.done
            else "Stopped before the first trial was finished.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    _print(console, found, out)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sizes(text: str) -> list[int]:
    from ..study import StudyError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise StudyError(
            f"`--hidden` must be whole numbers with commas between them, as 256,256. Got {text!r}."
        ) from None


def _print(console: Console, found: Study, out: Path) -> None:
    for sentence in found.words:
        console.print(sentence, markup=False, highlight=False)
    percent = found.task == "classification"
    best = (found.best_p, found.best_p_input)

    def error(value: float) -> str:
        return f"{100 * value:.1f}" if percent else f"{value:.4g}"

    table = Table(
        title=f"{found.title}: {found.rows_train:,} training and {found.rows_test:,} test rows, {found.seeds} seeds",
        caption="In brackets: 95 % intervals. L2: weight decay alone, without dropout.",
    )
    for name in ("", "learning rate", f"{found.metric}, {found.unit}", "NLL", "calibration error"):
        table.add_column(name, justify="right")
    for level in found.levels:
        dropout = level.arm != "l2"
        inputs = f", inputs {level.p_input:g}" if level.p_input else ""
        table.add_row(
            f"p = {level.p:g}{inputs}" if dropout else f"L2 {level.weight_decay:g}",
            f"{level.lr:g}",
            f"{error(level.test_error)} ({error(level.test_error_low)} to {error(level.test_error_high)})",
            f"{level.test_nll:.3f}",
            f"{level.test_calibration:.3f}",
            style="bold" if dropout and (level.p, level.p_input) == best else None,
        )
    console.print(table)
    inputs = f", inputs {found.best_p_input:g}" if found.best_p_input else ""
    for line in (
        f"Report: {out / 'report.html'}   every trial: {out / 'trials.csv'}",
        f"The chosen network (p = {found.best_p:g}{inputs}, learning rate {found.best_lr:g}), "
        f"which takes {found.features} columns:",
        "",
        "    from thinned.study import load",
        "",
        f"    model = load({str(out)!r})",
        "    model.predict(X)  # a DataFrame with these columns, or an array in their order",
        "",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
