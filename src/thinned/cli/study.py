"""`thinned study`: does dropout help on these data, at which p, and what should be used?"""

from __future__ import annotations

import os
import shlex
import sys
import time as clock
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from .ending import printed, signals_as_interrupts
from .reading import show_reading
from .study_answer import show_answer
from .study_model import show_tuned, tune_own
from .terminal import say, show, told

if TYPE_CHECKING:
    from ..study.underway import Progress

SEP = "The sign between fields, or its name, as tab or semicolon. Default: found out."
ENCODING = "The encoding of a text file, as utf-8, cp1252, utf-16 or shift_jis. Default: found out."
DECIMAL = "The decimal sign of a text file: . or ,. Default: found out."
MODEL = "A function of yours that builds a model, whose dropout is tuned: p for each kind of place."
DEVICE = "What trains. Default: a GPU for networks of a million weights or more where there is one, else the CPU."
FAILED = 2
LINE_EVERY = 10.0  # seconds between lines of progress where there is no terminal

EPILOG = """
Examples:

    thinned study                                        5,000 MNIST digits, about three minutes on two cores

    thinned study patients.csv --target outcome          your table; also .tsv, .parquet and .npz

    thinned study patients.csv --target outcome --column ward=level --column note=ignore

    thinned study patients.csv --target outcome --groups hospital --metric auc

    thinned study houses.parquet --target price          numbers are predicted as numbers

    thinned study /usr/share/datasets/fashion-mnist      a folder of IDX images

    thinned study pictures --network cnn                 a folder of pictures for each class

    thinned study reviews.csv --target stars --column review=text --network lstm

    thinned study book.txt                               one long text: an LSTM that foretells the next word

    thinned study data.csv --target y --budget 10m       the best answer in ten minutes; give it again to go on

    thinned study data.csv --target y --p 0.1,0.5 --seeds 10 --hidden 512,512 --out my-study

    thinned study data.csv --target y --ray auto                 on the Ray cluster that this machine is part of

    thinned study data.csv --target y --model net:build          your own model, of build(inputs, outputs) in net.py
"""


class NetworkChoice(StrEnum):
    perceptron = "perceptron"
    cnn = "cnn"
    lstm = "lstm"
    gru = "gru"
    transformer = "transformer"


class LogName(StrEnum):
    mlflow = "mlflow"
    tensorboard = "tensorboard"


class TaskName(StrEnum):
    classification = "classification"
    regression = "regression"


def study(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A .csv, .tsv, .parquet or .npz file; a .txt file of one long text; a folder of IDX images, or a "
            "folder of pictures or .txt files for each class. Without it: MNIST digits."
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    task: Annotated[TaskName | None, typer.Option(help="How to read the target, if it does not say.")] = None,
    groups: Annotated[
        str | None, typer.Option(help="A column whose equal values stay on one side of every split.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="A column to order rows by: the latest are the test rows.")] = None,
    test: Annotated[Path | None, typer.Option(help="A file whose rows are the test set.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="NAME=KIND", help="What a column is: number, level, date, text or ignore. Repeatable."
        ),
    ] = None,
    sep: Annotated[str | None, typer.Option("--sep", help=SEP)] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help=ENCODING)] = None,
    decimal: Annotated[str | None, typer.Option("--decimal", help=DECIMAL)] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write. A study of the same data in it goes on.")
    ] = Path("thinned-study"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(help="How often each level is trained: 20 for tables, 5 for images, 3 for other networks."),
    ] = None,
    p: Annotated[
        list[str] | None, typer.Option("--p", help="Drop probabilities to try, as 0.1,0.2. 0 is always tried.")
    ] = None,
    lr: Annotated[
        list[str] | None,
        typer.Option("--lr", help="Learning rates to try; one alone is taken as given. Default: by a range test."),
    ] = None,
    weight_decay: Annotated[
        list[str] | None, typer.Option("--weight-decay", help="Weight decays to try, as 0.1,1. 0 is always tried.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="The most passes over the training rows; training ends by itself before.")
    ] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Units of each hidden layer, as 256,256; of a cnn, its maps.")
    ] = None,
    network: Annotated[
        NetworkChoice | None,
        typer.Option(
            help="cnn is for pictures, lstm, gru and transformer are for texts. Default: perceptron; lstm for one long "
            "text."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What decides: error, nll, brier, balanced-error, auc, f1, perplexity; for numbers rmse, mae."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Stop in time with the best answer so far: 90s, 10m, 1h30m.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Where trials are recorded: an Optuna address. Default: a file in the folder.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes. The numbers do not depend on it.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="auto|HOST:PORT", help="Train on a Ray cluster that runs, instead of in processes here."),
    ] = None,
    ray_cpus: Annotated[float, typer.Option(help="CPUs of a node for each trial on --ray, as 0.5.")] = 1.0,
    ray_gpus: Annotated[float, typer.Option(help="GPUs of a node for each trial on --ray, as 0.25.")] = 0.0,
    log: Annotated[
        LogName | None, typer.Option(help="Log every run, with its curve, for MLflow or TensorBoard as well.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="auto|cpu|cuda|...", help=DEVICE)] = None,
    train_rows: Annotated[int | None, typer.Option(help="How many rows to train on.")] = None,
    chapters: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES|all|none",
            help="Further questions: how-much, where, convergence (these by default), data-size, reliance, ensemble, "
            "normalisation, forms, schedules.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="PACKAGE.MODULE:BUILD", help=MODEL)] = None,
) -> None:
    """Does dropout help on these data, at which p, and what should be used?

    Ctrl-C, SIGTERM and SIGHUP keep what is finished, and the same command goes on from there.

    Exit code 2: data, options, a folder, a disk or memory that can't be used, and a sentence that says which. 130 after
    Ctrl-C, 143 after SIGTERM.
    """
    from ..study.data.overrule import TextForm, WantedColumn
    from ..study.error import StudyError
    from ..study.options import StudyOptions, chapters_of, numbers, require_text, seconds_of, sizes_of

    console, complaints = Console(), Console(stderr=True)
    progress = _Shown(console)

    def complain(said: str, style: str = "") -> None:
        with suppress(OSError):  # stderr is closed: the exit code is left
            show(complaints, said, style, soft_wrap=True)

    with signals_as_interrupts() as ended, _warnings_in_a_line(complain):
        try:
            options = StudyOptions(
                target=target,
                task=None if task is None else task.value,
                groups=groups,
                time=time,
                test=test,
                out=out,
                seed=seed,
                seeds=seeds,
                ps=None if not p else numbers("--p", p),
                lrs=None if not lr else numbers("--lr", lr),
                weight_decays=None if not weight_decay else numbers("--weight-decay", weight_decay),
                epochs=epochs,
                hidden=None if hidden is None else sizes_of(hidden),
                network=None if network is None else network.value,
                train_rows=train_rows,
                metric=metric,
                jobs=jobs
                if jobs is not None
                else 1
                if ray is not None or device not in (None, "auto", "cpu")
                else cores(),
                budget=None if budget is None else seconds_of(budget),
                storage=storage,
                ray=ray,
                ray_cpus=ray_cpus,
                ray_gpus=ray_gpus,
                log=None if log is None else log.value,
                device=device,
                form=TextForm(sep, encoding, decimal),
                columns=tuple(WantedColumn.of(text) for text in column or ()),
                chapters=chapters_of(chapters),
            )
            if data is not None:
                require_text("the data file", data)
            for file in (data, test):
                if file is not None and not file.exists():
                    raise StudyError(
                        f"{file}: there is no such file or folder. Pass a table or a folder of IDX images."
                    )
            if model is not None:
                if device is not None:
                    raise StudyError("`--model`: `--device` is for the study's own networks. Leave it out.")
                if jobs is not None:
                    raise StudyError("`--model`: `--jobs` is for the study's own networks. Leave it out.")
                tuned = tune_own(model, data, options, console, progress)
                lost = printed(lambda: show_tuned(console, tuned, out))
                if lost:
                    complain(f"thinned study: the answer could not be printed: {lost}. It is in {out / 'tune.txt'}.")
                    raise typer.Exit(FAILED)
                return
            with progress:
                from ..study.run import study as run  # late: torch and pandas, after what can be said without them

                unread = []
                found = run(
                    data,
                    options,
                    progress.watch,
                    lambda reading: unread.append(printed(lambda: show_reading(console, reading))),
                )
        except StudyError as error:
            complain(f"thinned study: {error}", "red")
            raise typer.Exit(FAILED) from None
        except OSError as error:
            complain(f"thinned study: {told(error)} Name another file.", "red")
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            complain(_stopped(progress, out))
            raise typer.Exit(ended.code) from None
    lost = printed(lambda: show_answer(console, found, out)) or "".join(unread)
    if lost:
        complain(f"thinned study: the answer could not be printed: {lost}. It is in {out / 'report.html'}.", "red")
        raise typer.Exit(FAILED)


@contextmanager
def _warnings_in_a_line(complain: Callable[[str], None]) -> Iterator[None]:
    """What the study could do without, as a line on stderr."""
    from ..study.error import StudyWarning

    def tell(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
        if issubclass(category, StudyWarning):
            complain(f"thinned study: {message}")
        else:
            before(message, category, *rest, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("always", StudyWarning)
        before, warnings.showwarning = warnings.showwarning, tell
        yield


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Shown:
    """Progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.done = self.total = 0
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}", "progress.description", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("reading the data", total=None, left="")
        self._start = clock.monotonic()
        self._said = -LINE_EVERY
        self._doing = ""

    def __enter__(self) -> _Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def watch(self, step: Progress) -> None:
        self.done, self.total = step.done, step.total
        left = "" if step.left is None else f"about {_duration(step.left)} left"
        self._bar.update(self._task, description=step.doing, completed=step.done, total=step.total, left=left)
        now = clock.monotonic() - self._start
        if self._console.is_terminal or (now - self._said < LINE_EVERY and step.doing == self._doing):
            return
        self._said, self._doing = now, step.doing
        parts = [f"{step.done:,} of about {step.total:,} runs", step.doing, left]
        with suppress(OSError):  # stderr is closed: the study goes on
            say(f"[{_duration(now)}] " + ", ".join(part for part in parts if part), err=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _stopped(progress: _Shown, out: Path) -> str:
    again = shlex.join(["thinned", *sys.argv[1:]])
    if not progress.done:
        return "Stopped before the first run was finished."
    return f"Stopped. {progress.done:,} of about {progress.total:,} runs are in {out}. Go on with: {again}"
