"""A study from data to folder: split, search, train, judge, write."""

from __future__ import annotations

import platform
import tempfile
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch

from ..fit.loop import batch_size
from ..fit.stacked_training import resolution
from . import results
from .answer.caution import cautions, listed_failures
from .answer.conclude import Conclusion, conclude
from .answer.metric import METRICS
from .answer.standing import ERRORS, Answered
from .answer.words import say
from .data.dataset import Dataset
from .data.parts import notes as notes_on_parts
from .data.parts import parts, sizes
from .data.prepare import Preparation
from .data.source import checked, open_data
from .data.suspicion import suspicions
from .error import StudyError
from .keep.journal import Journal
from .options import METRIC_NAMES, Options
from .record import Study
from .search.chooser import PLAIN, Chooser, ValidationFigures
from .search.grid import PS, WEIGHT_DECAYS, Grid
from .trial.baseline import Answers, BaselineName, constant, linear, tree
from .trial.config import Config, Recipe, Unit
from .trial.fold import Fold
from .trial.outcome import still_holds
from .trial.pool import Failed, Pool
from .trial.prepared import prepared
from .trial.range_test import range_test
from .trial.unit import State, train_unit, weights_again

MAX_STEPS = 12_700  # seven cycles, the first of 100 steps,
MAX_EPOCHS = 1_000  # but no more passes than this over a small table
TABLE_HIDDEN, IMAGE_HIDDEN = (128, 128), (256, 256)
TABLE_SEEDS, IMAGE_SEEDS = 20, 5
FEWEST_SEEDS = 2  # of an outer split
STACKED = 150_000  # weights: networks up to this size are trained many at a time


@dataclass(frozen=True)
class Progress:
    """How far a study is: runs finished, runs expected (a widened grid adds some), what goes on, seconds left."""

    done: int
    total: int
    doing: str
    left: float | None = None


def run_study(
    data: str | Path | Dataset | None = None,
    *,
    target: str | None = None,
    task: Any = None,
    groups: str | None = None,
    time: str | None = None,
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
        epochs: the most passes over the training rows; None means 1,000, and 12,700 steps. Training ends by itself
            before.
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
    """A study that goes on: its data, what is wanted, and what is finished."""

    def __init__(
        self, data: str | Path | Dataset | None, options: Options, scratch: Path, watch: Callable[[Progress], None]
    ) -> None:
        self.start = clock.monotonic()
        self.options, self.watch = options, watch
        self.data = checked(data) if isinstance(data, Dataset) else _opened(data, options)
        task = self.data.task
        self.metric = options.metric or ERRORS[task]
        if self.metric not in METRIC_NAMES[task]:
            raise StudyError(
                f"`--metric` must be one of {', '.join(METRIC_NAMES[task])} for {task}. Got {self.metric!r}. "
                "--task reads the target the other way."
            )
        self.size = sizes(self.data, options.train_rows, options.seed)
        self.seeds = max(
            options.seeds or (IMAGE_SEEDS if self.data.pixels else TABLE_SEEDS), FEWEST_SEEDS * self.size.outer
        )
        batch = batch_size(self.size.train)
        an_epoch = -(-self.size.train // batch)
        steps = min(MAX_STEPS, MAX_EPOCHS * an_epoch) if options.epochs is None else options.epochs * an_epoch
        hidden = options.hidden or (IMAGE_HIDDEN if self.data.pixels else TABLE_HIDDEN)
        self.recipe = Recipe(options.seed, hidden, batch, steps)
        self.versions = {name: version(name) for name in ("thinned", "torch", "numpy", "scikit-learn", "optuna")}
        self.journal = Journal(options.out, self._decides(), options.storage, wanted=self._wanted())
        self.finished = {
            config: outcome for config, outcome in self.journal.read().items() if still_holds(outcome, steps)
        }
        self.failed: dict[str, str] = {}
        self.lost: set[Config] = set()  # runs of failed units
        self.preparations: dict[int, Preparation] = {}
        self.folds: dict[int, Fold] = {}
        self._prepare(scratch)
        self.range = range_test(self.folds[0], self.recipe)
        self.grid = self._grid()
        self.pool = Pool(scratch, self.recipe, options.jobs)
        self.fresh = 0  # runs trained in this call
        self.training_since = clock.monotonic()

    def study(self) -> Study:
        """Search, judge and write."""
        stopped: Literal["", "budget"] = ""
        try:
            with self.pool:
                if not self._search():
                    stopped = "budget"
            with self.pool:
                self._say("comparing with other models")
                found = self._conclude(self._baselines())
                if found is None:
                    results.write_runs(self.options.out, self._choosers(), self.finished, self.folds)
                    raise StudyError(
                        f"{self.options.out}: no answer yet: {len(self.finished):,} runs are finished and kept. Give "
                        "the same command again to go on, with a larger --budget if it had one."
                        + "".join(f" {said}" for said in listed_failures(self.failed)[:1])
                    )
                self._say("training the networks to take away again, for their weights")
                weights = self._weights(found)
            self._say("writing the report")
            study = self._record(found, stopped)
            self._write(study, found, weights)
        except KeyboardInterrupt:
            self.finished.update(self.journal.read())  # the signal may have come between keeping a unit and counting it
            results.write_runs(self.options.out, self._choosers(), self.finished, self.folds)
            raise
        finally:
            self.journal.close()
        return study

    def _search(self) -> bool:
        """Train what is missing; False where the budget ended it."""
        deadline = None if self.options.budget is None else self.start + self.options.budget - self._reserve()
        while units := [unit for chooser in self._choosers() for unit in chooser.missing()]:
            self._say(f"training {units[0].level.name}")
            for unit, done in self.pool.map(train_unit, units, deadline):
                if isinstance(done, Failed):
                    self.failed[unit.name] = done.reason
                    self.lost.update(unit.configs())
                    self.journal.fail(unit, done.reason)
                else:
                    self.journal.add(unit, done)
                    self.finished.update({outcome.config: outcome for outcome in done})
                    self.fresh += len(done)
                self._say(f"training {unit.level.name}")
            if deadline is not None and clock.monotonic() >= deadline:
                return False
            if not self.finished:
                return True  # every unit of the first round has failed, and so would the others
        return True

    def _reserve(self) -> float:
        """Seconds of the budget for baselines, weights and the report."""
        assert self.options.budget is not None
        return min(0.3 * self.options.budget, 60.0)

    def _say(self, doing: str) -> None:
        choosers = self._choosers()
        total = max(sum(chooser.outlook() for chooser in choosers), len(self.finished))
        left = None
        if self.fresh:
            spent = clock.monotonic() - self.training_since
            left = spent / self.fresh * (total - len(self.finished))
            if self.options.budget is not None:
                left = min(left, self.start + self.options.budget - clock.monotonic())
        self.watch(Progress(len(self.finished), total, doing, left))

    def _choosers(self) -> list[Chooser]:
        """One an outer split, over what is finished. A failed run counts as one that diverged."""
        seen = [ValidationFigures(config, loss) for config, loss in self._losses().items()]
        seen += [ValidationFigures(config, float("inf")) for config in self.lost if config not in self.finished]
        outer = self.size.outer
        return [Chooser(self.grid, range(split, self.seeds, outer), seen) for split in range(outer)]

    def _losses(self) -> dict[Config, float]:
        """What choices go by: the deciding metric on validation rows; for the error its smoother kin, the Brier score.

        A count of rows scatters more than the squared error that it follows.
        """
        found = {}
        for config, outcome in self.finished.items():
            if config.seed >= self.seeds:
                continue
            fold = self.folds[config.seed]
            alike = resolution(torch.from_numpy(fold.y_val)[None])
            if self.metric in ERRORS.values():
                found[config] = max(outcome.val.loss, alike)
            else:
                rows = METRICS[self.metric].rows(outcome.val_output, fold.y_val, fold.scale)
                found[config] = max(float(rows.mean()), alike)
        return found

    def _baselines(self) -> dict[BaselineName, dict[int, Answered]]:
        """Other models' answers by name and seed. A tree's settings are sought on each outer split's first seed."""
        outer = self.size.outer
        found: dict[BaselineName, dict[int, Answered]] = {}
        trees: dict[int, Answers] = {}
        for seeds in (range(outer), range(outer, self.seeds)):
            units = [Unit(PLAIN, (), (seed,)) for seed in seeds]
            for unit, done in self.pool.map(partial(_fit_baselines, trees=dict(trees), outer=outer), units):
                [seed] = unit.seeds
                if isinstance(done, Failed):
                    self.failed[f"other models on seed {seed}"] = done.reason
                    continue
                for answers in done:
                    found.setdefault(answers.name, {})[seed] = Answered(answers.val_output, answers.test_output)
                    if answers.name == "tree":
                        trees.setdefault(seed, answers)
        return found

    def _conclude(self, others: Mapping[BaselineName, Mapping[int, Answered]]) -> Conclusion | None:
        choosers, losses = self._choosers(), self._losses()
        return conclude(choosers, self.finished, losses, self.folds, others, self.data.task, self.metric)

    def _weights(self, found: Conclusion) -> dict[Config, State]:
        """The weights of the networks to take away, and of two whose hidden layers are shown."""
        wanted = {run.config for run in found.chosen.runs} | set(_shown(found))
        units: dict[Unit, set[Config]] = {}
        for config in wanted:
            units.setdefault(self.journal.unit_of(config), set()).add(config)
        weights: dict[Config, State] = {}
        order = sorted(units)
        for unit, done in self.pool.map(partial(_weights_of, wanted=frozenset(wanted)), order):
            if isinstance(done, Failed):
                raise StudyError(f"{unit.name} could not be trained again for its weights: {done.reason}")
            weights.update(done)
        return weights

    def _record(self, found: Conclusion, stopped: Literal["", "budget"]) -> Study:
        data, size, metric = self.data, self.size, METRICS[self.metric]
        study = Study(
            title=data.title,
            source=data.source,
            task=data.task,
            metric=self.metric,
            metric_title=metric.title,
            unit=data.target if metric.unit == "target" else metric.unit,
            error_title=METRICS[ERRORS[data.task]].title,
            target=data.target,
            classes=[str(name) for name in data.classes],
            features=data.features.shape[1],
            rows_train=size.train,
            rows_val=size.val,
            rows_test=size.test,
            outer=size.outer,
            hidden=list(self.recipe.hidden),
            batch=self.recipe.batch,
            max_steps=self.recipe.max_steps,
            seed=self.options.seed,
            seeds=self.seeds,
            ps=list(self.grid.ps),
            lrs=sorted({config.lr for config in self.finished}),
            weight_decays=sorted({c.level.weight_decay for c in self.finished if c.level.weight_decay}),
            diverges_at=self.range.diverges_at,
            levels=found.levels,
            baselines=found.baselines,
            differences=found.differences,
            ranges=found.ranges,
            best_p=found.best_p,
            network=found.network,
            advice="plain",
            headline="",
            words=[],
            warnings=[],
            notes=[*data.notes, *notes_on_parts(data, size)],
            failures=listed_failures(self.failed),
            seconds=sum(outcome.seconds for outcome in self.finished.values()),
            versions={**self.versions, "python": platform.python_version()},
            complete=not stopped,
            stopped=stopped,
        )
        warned = [*suspicions(data), *cautions(study, found, self.folds)]
        return say(study.model_copy(update={"warnings": warned}))

    def _write(self, study: Study, found: Conclusion, weights: Mapping[Config, State]) -> None:
        out = self.options.out
        plain, noisy = _shown(found)
        results.write_networks(out, self.data, found, weights, self.folds, self.preparations, self.recipe)
        results.write_runs(out, self._choosers(), self.finished, self.folds)
        results.write_range(out, self.range)
        results.write_activations(out, plain, noisy, weights, self.folds[plain.seed], self.recipe)
        results.write_study(out, study)
        from .report import write as write_report  # late: drawing needs matplotlib, which nothing above does

        write_report(out)

    def _prepare(self, scratch: Path) -> None:
        for seed in range(self.seeds):
            found = prepared(self.data, parts(self.data, self.size, self.options.seed, seed))
            found.fold.save(scratch / f"{seed}.npz")
            self.folds[seed], self.preparations[seed] = found.fold, found.preparation

    def _grid(self) -> Grid:
        options, diverges = self.options, self.range.diverges_at
        single = self.data.pixels or self._weights_of_one() > STACKED
        return Grid(
            ps=PS if options.ps is None else tuple(sorted({0.0, *options.ps})),
            lrs=self.range.proposed() if options.lrs is None else tuple(sorted(set(options.lrs))),
            lr_limit=float("inf") if diverges is None else diverges,
            weight_decays=WEIGHT_DECAYS if options.weight_decays is None else tuple(sorted(set(options.weight_decays))),
            search_seeds=2 if single else 5 if self.size.outer == 1 else 3,
            together=1 if single else 5,
            widen_ps=options.ps is None,
        )

    def _weights_of_one(self) -> int:
        shape = (self.folds[0].x_train.shape[1], *self.recipe.hidden, max(self.folds[0].outputs, 1))
        return int(sum(a * b for a, b in pairwise(shape)))

    def _decides(self) -> dict[str, Any]:
        """What decides the numbers of a run, beside its configuration."""
        return {
            "data": self.data.title,
            "data's fingerprint": self.data.fingerprint(),
            "--seed": self.options.seed,
            "--hidden": self.recipe.hidden,
            "--train-rows": self.size.train,
            **{f"{name}'s version": self.versions[name] for name in ("thinned", "torch")},
        }

    def _wanted(self) -> dict[str, Any]:
        options = self.options
        return {
            "--seeds": self.seeds,
            "--p": options.ps,
            "--lr": options.lrs,
            "--metric": self.metric,
            "steps": self.recipe.max_steps,
        }


def _shown(found: Conclusion) -> tuple[Config, Config]:
    """The networks whose hidden layers are shown: without dropout and with it, of the first seed that both have."""
    noisy = found.noisy or found.plain
    ours = {run.config.seed: run.config for run in found.plain.runs}
    theirs = {run.config.seed: run.config for run in noisy.runs}
    seed = min(set(ours) & set(theirs))
    return ours[seed], theirs[seed]


def _opened(data: str | Path | None, options: Options) -> Dataset:
    path = None if data is None else Path(data)
    return open_data(path, options.target, options.task, options.groups, options.time, options.test)


def _fit_baselines(
    unit: Unit, folds: Mapping[int, Fold], recipe: Recipe, trees: Mapping[int, Answers], outer: int
) -> list[Answers]:
    """Work for the pool: the other models on the rows of the unit's seed, as the tree of its outer split's first."""
    [seed] = unit.seeds
    fold = folds[seed]
    return [constant(fold), linear(fold), tree(fold, trees.get(seed % outer))]


def _weights_of(
    unit: Unit, folds: Mapping[int, Fold], recipe: Recipe, wanted: frozenset[Config]
) -> dict[Config, State]:
    """Work for the pool: the weights of those of the unit's runs that are wanted."""
    return weights_again(unit, folds, recipe, [config for config in unit.configs() if config in wanted])
