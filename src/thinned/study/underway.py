"""A study that goes on: its data, what is wanted of it, what is finished, and the search for what is missing."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import Dataset as TorchDataset

from ..fit.loop import batch_size
from ..fit.training import resolution
from .answer.metric import METRICS
from .answer.standing import ERRORS
from .data.dataset import Dataset
from .data.first_words import words_of_first_seed
from .data.parts import parts, sizes
from .data.prepare import Preparation
from .data.source import checked, open_data
from .data.suspicion import suspicions
from .data.torch_dataset import torch_data
from .data.words import words_note
from .deciding import deciding_metric
from .error import StudyError
from .keep.journal import Journal
from .keep.other_answers import OtherAnswers
from .keep.run_log import LogOnce, RunLog
from .memory import check_memory
from .networks.device import CPU, chosen_device
from .networks.named import HIDDEN, NetworkName, check_network, weights_of
from .networks.shape import InputShape
from .options import StudyOptions, require_text
from .other_models import OtherModels
from .record import ColumnRecord
from .search.chooser import Chooser, ValidationFigures
from .search.grid import (
    IMAGE_LRS,
    IMAGE_PS,
    IMAGE_WEIGHT_DECAYS,
    PS,
    SEPARATE_LRS,
    SEPARATE_PS,
    SEPARATE_WEIGHT_DECAYS,
    WEIGHT_DECAYS,
    Grid,
)
from .trial.baseline import TREES
from .trial.config import Config, Recipe, Unit
from .trial.engine import Failed
from .trial.fold import Fold
from .trial.outcome import Outcome, diverged, still_holds
from .trial.pool import Pool
from .trial.prepared import prepared
from .trial.range_test import range_test
from .trial.ray_tasks import RayTasks
from .trial.unit import train_unit

MAX_STEPS = 12_700  # seven cycles, the first of 100 steps,
MAX_EPOCHS = 1_000  # but no more passes than this over a small table
TABLE_HIDDEN, IMAGE_HIDDEN = (128, 128), (256, 256)
TABLE_SEEDS, IMAGE_SEEDS = 20, 5
SEPARATE_SEEDS, SEPARATE_STEPS, SEPARATE_ROWS = 3, 1_500, 2_000  # of networks that are trained one by one
FEWEST_SEEDS = 2  # of an outer split
STACKED = 150_000  # weights: networks up to this size are trained many at a time
GROWTH = 1.15  # grids that grow train so many times the runs that can be foreseen: 1.04 breast_cancer, 1.26 the digits
FINISHING = 0.15  # of the time of all trainings: other models, intervals, the report
WEIGHTS_KEPT = 512 * 2**20  # bytes: so much of finished runs' weights stays in memory, for the networks to take away


@dataclass(frozen=True)
class Progress:
    """How far a study is: runs finished, runs expected (a widened grid adds some), what goes on, seconds left."""

    done: int
    total: int
    doing: str
    left: float | None = None


@dataclass(frozen=True)
class TableReading:
    """How a table was read: its columns, what was left out or assumed, what is suspicious."""

    title: str
    columns: tuple[ColumnRecord, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class Underway:
    """A study that goes on: its data, what is wanted, and what is finished."""

    def __init__(
        self,
        data: str | Path | Dataset | TorchDataset[Any] | None,
        options: StudyOptions,
        scratch: Path | None,
        watch: Callable[[Progress], None],
        told: Callable[[TableReading], None] = lambda reading: None,
    ) -> None:
        self.start = clock.monotonic()
        self.options, self.watch = options, watch
        self.data = opened(data, options)
        self.suspicions = suspicions(self.data)
        self.columns = column_records(self.data, self.suspicions)
        told(TableReading(self.data.title, tuple(self.columns), self.data.notes, self.suspicions))
        self.metric = deciding_metric(options, self.data)
        self.network = cast(NetworkName, options.network or "perceptron")
        self.separate = self.network != "perceptron"
        bearable = SEPARATE_ROWS if self.separate and not self.data.pixels else None
        self.size = sizes(self.data, options.train_rows, options.seed, bearable)
        usual = SEPARATE_SEEDS if self.separate else IMAGE_SEEDS if self.data.pixels else TABLE_SEEDS
        self.seeds = max(options.seeds or usual, FEWEST_SEEDS * self.size.outer)
        batch = batch_size(self.size.train)
        steps = most_steps(self.size.train, options.epochs, SEPARATE_STEPS if self.separate else MAX_STEPS)
        perceptron = IMAGE_HIDDEN if self.data.pixels else TABLE_HIDDEN
        hidden = options.hidden or (HIDDEN[self.network] if self.separate else perceptron)
        self.plan = words_of_first_seed(self.data, self.size, options.seed, ordered=self.separate)
        self.versions = {name: version(name) for name in ("thinned", "torch", "numpy", "scikit-learn", "optuna")}
        self.failed: dict[str, str] = {}
        self.lost: set[Config] = set()  # runs of failed units
        self.preparations: dict[int, Preparation] = {}
        self.folds: dict[int, Fold] = {}
        self._prepare(scratch)
        recipe = Recipe(options.seed, hidden, batch, steps, self.network, self._shape())
        check_network(self.network, recipe.shape, hidden)
        self.recipe = recipe
        self.recipe = replace(recipe, device=chosen_device(options.device, self._weights_of_one()))
        check_memory(self._weights_of_one(), hidden)
        self.finished: dict[Config, Outcome] = {}
        self.journal = Journal(options.out, self._decides(), options.storage, wanted=self._wanted())
        self.log: LogOnce | None = None
        try:
            self.log = opened_log(options.log, options.out, self.journal)
            self.recover()
            self.range = range_test(self.folds[0], self.recipe)
            self.grid = self._grid()
            engine = None
            if options.ray is not None:
                engine = RayTasks(self.folds, self.recipe, options.ray_cpus, options.ray_gpus)
            self.pool = Pool(scratch or self.folds, self.recipe, options.jobs, engine)
        except BaseException:
            self.journal.close()
            raise
        # Trees of images have one setting.
        made = {"study": self.journal.id, "scikit-learn": self.versions["scikit-learn"], "trees": TREES}
        answers = OtherAnswers(options.out, made)
        self.others = OtherModels(self.seeds, self.size.outer, answers, together=self.data.pixels)
        self.fresh = 0  # runs trained in this call
        self.training_since = clock.monotonic()
        self.training_until: float | None = None

    def notes(self) -> list[str]:
        """How data were read, beside what the data say themselves."""
        return [] if self.plan is None or self.data.stretch else [words_note(self.plan, self.size.train)]

    def search(self) -> bool:
        """Train what is missing; False where the budget ended it."""
        deadline = None if self.options.budget is None else self.start + self.options.budget - self.reserve()
        while units := [unit for chooser in self.choosers() for unit in chooser.missing()]:
            if deadline is None:
                units.sort(key=self._expected_seconds, reverse=True)  # the long ones last would leave a core idle
            self.say(f"training {units[0].level.name}")
            for unit, done in self.pool.map(train_unit, units, deadline, self.others):
                if isinstance(done, Failed):
                    self.failed[unit.name] = done.reason
                    self.lost.update(unit.configs())
                    self.journal.fail(unit, done.reason)
                else:
                    self.journal.add(unit, done)
                    self._count(done)
                self.say(f"training {unit.level.name}")
            if deadline is not None and clock.monotonic() >= deadline:
                return False
            if not self.finished:
                return True  # every unit of the first round has failed, and so would the others
        return True

    def recover(self) -> None:
        """Take what the journal has for these seeds and this limit of steps: an earlier call may have had others.

        At the end as well, since Ctrl-C may have come between keeping a unit and counting it.
        """
        self.finished.update(
            (config, outcome)
            for config, outcome in self.journal.read().items()
            if config.seed < self.seeds and still_holds(outcome, self.recipe.max_steps)
        )
        if self.log is not None:
            self.log.add(self.finished.values())

    def say(self, doing: str) -> None:
        """Tell the watcher what goes on."""
        outer = self.size.outer
        expected = sum(self.grid.outlook(len(range(split, self.seeds, outer))) for split in range(outer))
        total = max(expected, len(self.finished))
        self.watch(Progress(len(self.finished), total, doing, self._left(expected)))

    def training_ends(self) -> None:
        """What follows is the study's end."""
        self.training_until = clock.monotonic()

    def _left(self, expected: int) -> float | None:
        """Seconds to the end, by the mean time of the runs of this call; None before there is one."""
        if not self.fresh:
            return None
        now = clock.monotonic()
        a_run = ((self.training_until or now) - self.training_since) / self.fresh
        done, wanted = len(self.finished), GROWTH * expected
        if self.training_until is None:
            left = a_run * (max(wanted - done, 0.0) + FINISHING * max(wanted, done))
        else:
            left = max(FINISHING * a_run * done - (now - self.training_until), 0.0)
        if self.options.budget is not None:
            left = min(left, max(self.start + self.options.budget - now, 0.0))
        return left

    def choosers(self) -> list[Chooser]:
        """One an outer split, over what is finished. A failed run counts as one that diverged."""
        seen = [ValidationFigures(config, loss) for config, loss in self.losses().items()]
        seen += [ValidationFigures(config, float("inf")) for config in self.lost if config not in self.finished]
        outer = self.size.outer
        return [Chooser(self.grid, range(split, self.seeds, outer), seen) for split in range(outer)]

    def losses(self) -> dict[Config, float]:
        """What choices go by: the deciding metric on validation rows; for the error its smoother kin, the Brier score.

        A count of rows scatters more than the squared error that it follows. A run that diverged has an infinite loss,
        whatever its first weights answer.
        """
        found = {}
        for config, outcome in self.finished.items():
            if diverged(outcome):
                found[config] = float("inf")
                continue
            fold = self.folds[config.seed]
            alike = resolution(torch.from_numpy(fold.y_val)[None])
            if self.metric in ERRORS.values():
                found[config] = max(outcome.val.loss, alike)
            else:
                rows = METRICS[self.metric].rows(outcome.val_output, fold.y_val, fold.scale)
                found[config] = max(float(rows.mean()), alike)
        return found

    def _count(self, done: Sequence[Outcome]) -> None:
        """Count a unit's runs as finished, with their weights while there is room."""
        kept = sum(outcome.weights_bytes for outcome in self.finished.values())
        room = kept + sum(outcome.weights_bytes for outcome in done) <= WEIGHTS_KEPT
        self.finished.update((outcome.config, outcome if room else outcome.without_weights()) for outcome in done)
        self.fresh += len(done)
        if self.log is not None:
            self.log.add(done)

    def _expected_seconds(self, unit: Unit) -> float:
        """By the unit's level on other seeds and learning rates; 0 where none of it is finished."""
        found = [outcome.seconds for config, outcome in self.finished.items() if config.level == unit.level]
        return len(unit.seeds) * len(unit.lrs) * sum(found) / len(found) if found else 0.0

    def reserve(self) -> float:
        """Seconds of the budget for baselines, weights and the report."""
        assert self.options.budget is not None
        return min(0.3 * self.options.budget, 60.0)

    def _prepare(self, scratch: Path | None) -> None:
        for seed in range(self.seeds):
            found = prepared(self.data, parts(self.data, self.size, self.options.seed, seed), self.plan)
            if scratch is not None:
                _save(found.fold, scratch / f"{seed}.npz")
            self.folds[seed], self.preparations[seed] = found.fold, found.preparation

    def _grid(self) -> Grid:
        options, diverges, images = self.options, self.range.diverges_at, self.data.pixels
        separate = self.separate
        single = images or separate or self._weights_of_one() > STACKED
        proposed = self.range.proposed()
        decays = SEPARATE_WEIGHT_DECAYS if separate else IMAGE_WEIGHT_DECAYS if images else WEIGHT_DECAYS
        ps = SEPARATE_PS if separate else IMAGE_PS if images else PS
        lrs = proposed[SEPARATE_LRS] if separate else proposed[IMAGE_LRS] if images else proposed
        return Grid(
            ps=ps if options.ps is None else tuple(sorted({0.0, *options.ps})),
            lrs=lrs if options.lrs is None else _ascending(options.lrs),
            lr_limit=float("inf") if diverges is None else diverges,
            weight_decays=decays if options.weight_decays is None else _ascending(options.weight_decays),
            search_seeds=1 if separate else 2 if single else 5 if self.size.outer == 1 else 3,
            together=1 if single else 5,
            widen_ps=options.ps is None,
        )

    def _weights_of_one(self) -> int:
        outputs = max(self.folds[0].outputs, 1)
        if self.separate:
            return weights_of(self.network, self.recipe.shape, self.recipe.hidden, outputs)
        shape = (self.folds[0].x_train.shape[1], *self.recipe.hidden, outputs)
        return int(sum(a * b for a, b in pairwise(shape)))

    def _shape(self) -> InputShape:
        """What a row is, for a network that looks at more than a list of numbers."""
        inputs, fold, image = self.folds[0].x_train.shape[1], self.folds[0], self.data.image
        if self.separate and image is not None:
            return InputShape(image=image.size)
        if fold.words:
            plain, following = inputs - fold.length, fold.stretch > 0
            return InputShape(plain, words=fold.words, length=fold.length, following=following)
        return InputShape(inputs) if self.separate else InputShape()

    def _decides(self) -> dict[str, Any]:
        """What decides the numbers of a run, beside its configuration."""
        return {
            "data": self.data.title,
            "data's fingerprint": self.data.fingerprint(),
            "--seed": self.options.seed,
            "--hidden": self.recipe.hidden,
            "--train-rows": self.size.train,
            **({"--network": self.network} if self.separate else {}),
            **({"--device": self.recipe.device} if self.recipe.device != CPU else {}),
            **({"--column": " ".join(map(str, self.options.columns))} if self.options.columns else {}),
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


def _save(fold: Fold, path: Path) -> None:
    """Raises OSError with the file's name: that of a full disk has none, and would seem to be of the study's folder."""
    try:
        fold.save(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _ascending(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(sorted(set(values)))


def opened_log(wanted: str | None, folder: Path, journal: Journal) -> LogOnce | None:
    """The log that `--log` names; None where it names none. Raises StudyError: it can't be written to."""
    log: RunLog
    if wanted == "tensorboard":
        from .keep.tensorboard_log import TensorBoardLog

        log = TensorBoardLog(folder, journal.id)
    elif wanted == "mlflow":
        from .keep.mlflow_log import MLflowLog

        log = MLflowLog(folder, f"{journal.name}-{journal.id}")
    else:
        return None
    return LogOnce(log)


def most_steps(rows: int, epochs: int | None, most: int = MAX_STEPS) -> int:
    """The most steps of a training on so many rows: those of `--epochs`, or `most`, or of 1,000 passes if fewer."""
    an_epoch = -(-rows // batch_size(rows))
    return min(most, MAX_EPOCHS * an_epoch) if epochs is None else epochs * an_epoch


def opened(data: str | Path | Dataset | TorchDataset[Any] | None, options: StudyOptions) -> Dataset:
    """The data that a caller names, read by the options, or checked where they are in memory."""
    if isinstance(data, Dataset):
        return checked(data, options.columns)
    if data is not None and not isinstance(data, (str, Path)):
        given = {
            "target": options.target,
            "groups": options.groups,
            "time": options.time,
            "test": options.test,
            "columns": options.columns or None,
        }
        unused = " and ".join(f"`{name}`" for name, value in given.items() if value is not None)
        if unused:
            raise StudyError(
                f"`run_study`: {unused}: for a table. A torch dataset has items (x, y). Leave {unused} out."
            )
        return checked(torch_data(data, options.task))
    path = None if data is None else Path(data)
    if path is not None:
        require_text("the data file", path)
    return open_data(
        path,
        options.target,
        options.task,
        options.groups,
        options.time,
        options.test,
        options.form,
        options.columns,
    )


def column_records(data: Dataset, warnings: Sequence[str]) -> list[ColumnRecord]:
    """The columns of a table as a record has them, in the file's order; those that a warning begins with are marked."""
    roles = {"target": "the target", "groups": "groups, no feature", "time": "time, no feature"}
    found = []
    for column in data.columns:
        warned = "a warning tells of it" if any(said.startswith(f"{column.name} ") for said in warnings) else ""
        said = [part for part in (roles.get(column.role, ""), column.why, warned) if part]
        found.append(ColumnRecord(name=column.name, read_as=column.kind, why="; ".join(said)))
    return found
