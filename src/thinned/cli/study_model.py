"""`thinned study --model`: the dropout of a model of the caller's, tuned on a study's data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from .ending import printed
from .factory import TargetError, named
from .reading import show_reading
from .terminal import show

if TYPE_CHECKING:
    from ..study.options import StudyOptions
    from ..study.tuning.result import TuneResult
    from ..study.underway import Progress

_VERBOSE = " --verbose shows the traceback."  # which this command has not


class Bar(Protocol):
    """What shows the progress."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *_: object) -> None: ...
    def watch(self, step: Progress) -> None: ...


def tune_own(text: str, data: Path | None, options: StudyOptions, console: Console, bar: Bar) -> TuneResult:
    """Tune the model that `package.module:build` names.

    Raises StudyError: the name leads to nothing that can be used, and what `tune_model` says.
    """
    from ..study.error import StudyError

    try:
        found, factory = named(text, "`--model`")
        if not callable(found):
            raise TargetError(f"`--model` must name a function that builds a model. Got a {type(found).__name__}.")
    except TargetError as error:
        raise StudyError(str(error).replace(_VERBOSE, "")) from None
    build: Callable[..., Any] = partial(found, *factory.args, **factory.kwargs) if factory.called else found
    from ..study.own_model import SEEDS, TRIALS, tune_model  # late: torch and pandas
    from ..study.underway import Progress

    done = 0
    most = TRIALS + 8 + 3 * (options.seeds or SEEDS)

    def watch(training: Any) -> None:
        nonlocal done
        done += 1
        bar.watch(Progress(done, most, f"training {training.arm}"))

    with bar:
        return tune_model(
            build,
            data,
            options,
            title=text,
            watch=watch,
            told=lambda reading: _ignored(printed(lambda: show_reading(console, reading))),
        )


def show_tuned(console: Console, found: TuneResult, out: Path) -> None:
    """The answer, and where its files are."""
    headline, *rest = str(found).splitlines()
    show(console, headline, "bold", soft_wrap=True)
    for line in rest:
        show(console, line, soft_wrap=True)
    show(console, "")
    page = "" if found.page is None else f"   figures: {found.page}"
    show(console, f"This table: {out / 'tune.txt'}   the rates: {found.file}{page}", soft_wrap=True)


def _ignored(_: str) -> None:
    """A table of columns that could not be printed is no obstacle."""
