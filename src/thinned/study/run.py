"""A study from data to folder: split, search, train, judge, write."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..fit.loop import batch_size
from . import results
from .answer.conclude import Conclusion, conclude
from .answer.standing import ERRORS, Answered
from .data.dataset import Dataset
from .data.parts import parts, sizes
from .data.source import open_data
from .data.suspicion import suspicions
from .error import StudyError
from .keep.journal import Journal
from .options import METRIC_NAMES, Options
from .record import Study
from .search.chooser import Chooser, ValidationFigures
from .search.grid import PS, WEIGHT_DECAYS, Grid
from .trial.baseline import fit_baselines
from .trial.config import Config, Level, Recipe, Unit
from .trial.fold import Fold
from .trial.outcome import Outcome
from .trial.pool import Failed, Pool
from .trial.prepared import prepared
from .trial.range_test import RangeTest, range_test
from .trial.unit import train_unit

MAX_STEPS = 12_700  # seven cycles, the first of 100 steps
TABLE_HIDDEN, IMAGE_HIDDEN = (128, 128), (256, 256)
TABLE_SEEDS, IMAGE_SEEDS = 20, 5
BASELINE_SEEDS = 5  # baselines are fitted on so many seeds' rows, or two of each outer split
STACKED = 150_000  # weights: networks up to this size are trained many at a time


@dataclass(frozen=True)
class Progress:
    """How far a study is: runs finished, runs expected (a widened grid adds some), what goes on, seconds left."""

    done: int
    total: int
    doing: str
    left: float | None = None


class OutOfTime(Exception):
    """The budget is used up."""


def run_study(
    data: str | Path | Dataset | None = None,
    *,
    target: str | None = None,
    task: Any = None,
    groups: str | None = None,
    time: str | None = None,  # noqa: A002
    test: str | Path | None = None,
    out: str | Path = "thinned-study",
    seed: int = 0,
    seeds: int | None = None,
    ps: Sequence[float] | None = None,
    lrs: Sequence[float] | None = None,
    weight_decays: Sequence[float] | None = None,
    epochs: int | None = None,
    hidden: Sequence[int] | None = None,
    train_rows: int | None = None,
    metric: str | None = None,
    jobs: int = 1,
    budget: float | None = None,
    storage: str | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Study:
    """Find out whether dropout helps on some data, at which p, and what to use.

    Every level (a p, a weight decay, both, inputs dropped as well) is trained until its validation loss falls no
    longer, at learning rates searched on validation rows, with the same effort for each.

    Arguments:
        data: a `.csv`, `.parquet` or `.npz` file, a folder of IDX images, or None for 5,000 MNIST digits.
        target: the column to predict.
        task: "classification" or "regression", if the target does not say.
        groups: a column whose equal values stay on one side of every split: patients, speakers, sites.
        time: a column to order rows by: the latest are the test rows, the latest before them validation rows.
        test: a file whose rows are the test set.
        out: the folder to write. If it holds a study of the same data and recipe, that goes on: nothing is trained
            twice, and seeds, rates and steps may be added.
        seed: decides every split, first weight, order and mask: the same seed gives the same numbers.
        seeds: how often each level is trained in the end, on other rows, weights and masks; at least 2. None means 20
            for tables and 5 for images.
        ps: drop probabilities to try, in [0, 1). 0 is always among them. None means 0.02, 0.05, 0.1, 0.2, ... 0.5, and
            0.6 and 0.7 where 0.5 does best.
        lrs: learning rates to try, widened where the best is at an end; one alone is taken as given. None means what a
            range test proposes.
        weight_decays: strengths of the weight decay to try, alone and beside the best p.
        epochs: the most passes over the training rows; None means 12,700 steps. Training ends by itself before.
        hidden: units of each hidden layer; None means 128, 128 for tables and 256, 256 for images.
        train_rows: how many rows to train on; None means 1,000 images, or 55 % of a table.
        metric: what decides, a name of `thinned.study.answer.metric.METRICS`; None means error, or RMSE.
        jobs: processes. The numbers do not depend on it. Above 1, a script needs `if __name__ == "__main__":`.
        budget: seconds after which the study ends with the best answer so far.
        storage: where the record of trials is kept, an address that Optuna takes; None means a file in `out`.
        watch: called as the study goes on.

    Returns what `study.json` in `out` holds; beside it lie `runs.csv`, `curves.csv`, `report.html`, and the networks
    for `load`.

    Raises:
        StudyError: data, options or a folder that can't be used, and nothing has been written.
        KeyboardInterrupt: Ctrl-C. What is finished is in `out`, and the same call goes on from there.
    """
    options = Options(
        target=target,
        task=task,
        groups=groups,
        time=time,
        test=None if test is None else Path(test),
        out=Path(out),
        seed=seed,
        seeds=seeds,
        ps=None if ps is None else tuple(map(float, ps)),
        lrs=None if lrs is None else tuple(map(float, lrs)),
        weight_decays=None if weight_decays is None else tuple(map(float, weight_decays)),
        epochs=epochs,
        hidden=None if hidden is None else tuple(hidden),
        train_rows=train_rows,
        metric=metric,
        jobs=jobs,
        budget=budget,
        storage=storage,
    )
    return study(data, options, watch)


def study(data: str | Path | Dataset | None, options: Options, watch: Callable[[Progress], None]) -> Study:
    """`run_study` with its options in one."""
    with tempfile.TemporaryDirectory(prefix="thinned-study-") as scratch:
        return _Running(data, options, Path(scratch), watch).study()


class _Running:
    """A study that goes on: its data, its plan, and what is finished."""

    def __init__(
        self, data: str | Path | Dataset | None, options: Options, scratch: Path, watch: Callable[[Progress], None]
    ) -> None:
        self.start = time.monotonic()
        self.options, self.scratch, self.watch = options, scratch, watch
        self.data = data if isinstance(data, Dataset) else _opened(data, options)
        task = self.data.task
        self.metric = options.metric or ERRORS[task]
        if self.metric not in METRIC_NAMES[task]:
            raise StudyError(
                f"`--metric` must be one of {', '.join(METRIC_NAMES[task])} for {task}. Got {self.metric!r}. "
                "--task reads the target the other way."
            )
        self.size = sizes(self.data, options.train_rows)
        self.seeds = options.seeds or (IMAGE_SEEDS if self.data.pixels else TABLE_SEEDS)
        self.seeds = max(self.seeds, 2 * self.size.outer)
        batch = batch_size(self.size.train)
        steps = MAX_STEPS if options.epochs is None else options.epochs * -(-self.size.train // batch)
        hidden = options.hidden or (IMAGE_HIDDEN if self.data.pixels else TABLE_HIDDEN)
        self.recipe = Recipe(options.seed, hidden, batch, steps)
        self.versions = {n: version(n) for n in ("thinned", "torch", "numpy", "scikit-learn", "optuna")}
        self.journal = Journal(options.out, self._identity(), options.storage)
        self.finished = {c: o for c, o in self.journal.read().items() if still_holds(o, steps)}
        self.failed: dict[Config, str] = {}
        self.folds = self._prepare()
        self.range = range_test(self.folds[0], self.recipe)
        self.grid = self._grid()

    def study(self) -> Study:
        """Search, judge and write."""
        stopped = ""
        with Pool(self.scratch, self.recipe, self.options.jobs) as pool:
            try:
                self._search(pool)
            except OutOfTime:
                stopped = "budget"
            except KeyboardInterrupt:
                self.finished.update(self.journal.read())
                self._write_partly()
                raise
            pool.restart()
            self._say("comparing with other models")
            baselines = self._baselines(pool)
            found = self._conclude(baselines)
            if found is None:
                self._write_runs(None)
                raise StudyError(
                    f"{self.options.out}: no answer yet: {len(self.finished)} runs are finished and kept. Give it more "
                    "time with --budget; the same command goes on from here."
                )
            self._say("training the network to take away again, for its weights")
            retrained = results.retrain(pool, found, self.units(), self.finished)
        self._say("writing the report")
        study = results.record(self, found, stopped)
        results.write(self, found, retrained, study)
        return study
