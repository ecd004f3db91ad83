"""A second record of runs, for a tracking tool: each run by its name, with its settings, curve and figures."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable
from typing import Protocol

from ..error import StudyError, StudyWarning
from ..trial.config import Config
from ..trial.outcome import Measured, Outcome


class RunLog(Protocol):
    """Where runs are logged.

    `title` is the tool's name, `where` how to see the runs, in words. `link` is for a page: an address, or a path from
    the study's folder.
    """

    title: str
    where: str
    link: str

    def names(self) -> Collection[str]:
        """The runs that are there as a whole, by `run_name`."""

    def write(self, outcome: Outcome) -> None:
        """Add a run."""


class LogOnce:
    """Logs each run once, whatever was logged before. A log that fails is named, and never ends a study.

    Raises StudyError: the log can't be read at the start.
    """

    def __init__(self, log: RunLog) -> None:
        self.log = log
        self._takes = True
        try:
            self._there = set(log.names())
        except Exception as error:
            raise unusable(log.title, error) from error

    def record(self) -> dict[str, str]:
        """Where the runs are, as a study's record has it."""
        return {"title": self.log.title, "where": self.log.where, "link": self.log.link}

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Write those that are not there. What could not be written now, the next call for the same study writes."""
        for outcome in outcomes:
            if not self._takes or run_name(outcome) in self._there:
                continue
            try:
                self.log.write(outcome)
            except Exception as error:
                self._takes = False
                warnings.warn(
                    f"`--log`: {self.log.title} takes no more runs: {_reason(error)}. The study goes on; the same "
                    "command, given again, logs the rest.",
                    StudyWarning,
                    stacklevel=2,
                )
            self._there.add(run_name(outcome))


def run_name(outcome: Outcome) -> str:
    """A run's name; one that went on under a larger limit of steps has another."""
    return f"{outcome.config.name}-steps{outcome.steps}"


def settings_of(config: Config) -> dict[str, str | float | int]:
    """What tells a run from others, by the names of `runs.csv`."""
    level = config.level
    return {
        "arm": level.arm,
        "p": level.p,
        "p_input": level.p_input,
        "weight_decay": level.weight_decay,
        "lr": config.lr,
        "seed": config.seed,
    }


def curve_of(point: Measured) -> dict[str, float]:
    """What a point of a curve measures, beside its step."""
    return {
        "train/loss": point.train_loss,
        "train/error": point.train_error,
        "train/nll": point.train_nll,
        "val/error": point.val_error,
        "val/nll": point.val_nll,
        "val/loss": point.val_loss,
    }


def figures_of(outcome: Outcome) -> dict[str, float]:
    """The figures of the network that a run gave. None is of test rows, by which nobody should choose."""
    return {
        "final/train_error": outcome.train.error,
        "final/val_error": outcome.val.error,
        "final/val_nll": outcome.val.nll,
        "final/val_loss": outcome.val.loss,
        "final/steps": float(outcome.steps),
        "final/best_step": float(outcome.best_step),
    }


def unusable(title: str, error: BaseException) -> StudyError:
    """The error of a log that can't be opened."""
    return StudyError(
        f"`--log` must name a log that can be written to. {title}: {_reason(error)}. Mend this, or leave it out."
    )


def without_account(text: str) -> str:
    """Addresses in a text without their names and passwords, for reports and messages.

    >>> without_account("https://me:secret@host/path")
    'https://host/path'
    """
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)


def _reason(error: BaseException) -> str:
    return without_account((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))
