"""A level as it stands after training: its runs by outer split, and what each row of test data says about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...once import once
from ..record import CalibrationEstimate, Estimate, LevelResult
from ..trial.config import Level
from ..trial.fold import Fold
from ..trial.outcome import Outcome
from . import temperature
from .calibration import calibration_error
from .interval import Bounds, Interval, interval
from .metric import METRICS
from .shown import figures_of
from .stretches import by_stretch

NLL_TEMPERED = "nll tempered"
ERRORS = {"classification": "error", "regression": "rmse"}


@dataclass(frozen=True)
class Answered:
    """What some model answered in one seed: raw outputs for the fold's validation and test rows."""

    val_output: NDArray[np.float32]
    test_output: NDArray[np.float32]

    def temperature(self, fold: Fold) -> float:
        """One temperature by the validation rows; 1 for numbers."""
        return temperature.fit(self.val_output, fold.y_val.astype(np.int64)) if fold.outputs else 1.0


@dataclass(frozen=True)
class Standing:
    """A model's answers on test rows, by outer split and seed.

    `splits` holds one mapping from seed to answers for each outer split.
    """

    splits: tuple[Mapping[int, Answered], ...]
    folds: Mapping[int, Fold]

    def estimate(self, metric: str) -> Interval:
        """The metric, with its interval."""
        return interval(self.rows(metric), self._bounds(metric))

    def rows(self, metric: str) -> list[NDArray[np.float64]]:
        """Values whose mean is the metric, (seeds, test rows) for each outer split; of a running text, stretches."""
        return [self._rows(split, metric, sorted(split)) for split in self.splits]

    def minus(self, other: Standing, metric: str) -> Interval:
        """This one's metric minus another's, paired by seed and test row, over the seeds that both have."""
        blocks = []
        for mine, theirs in zip(self.splits, other.splits, strict=True):
            seeds = sorted(set(mine) & set(theirs))
            blocks.append(self._rows(mine, metric, seeds) - other._rows(theirs, metric, seeds))
        return interval(blocks, self._bounds(metric, difference=True))

    def mean(self, metric: str) -> float:
        """The metric alone: each row once, its seeds averaged."""
        rows = self.rows(metric)
        return float(sum(block.mean(axis=0).sum() for block in rows) / sum(block.shape[1] for block in rows))

    def pairs(self, other: Standing) -> int:
        """The least number of seeds that both have in an outer split."""
        return min(len(set(a) & set(b)) for a, b in zip(self.splits, other.splits, strict=True))

    @once
    def temperatures(self) -> dict[int, float]:
        """By seed."""
        return {
            seed: answered.temperature(self.folds[seed]) for split in self.splits for seed, answered in split.items()
        }

    @property
    def stretch(self) -> int:
        """How many rows of a running text are one unit; 0 where each row is."""
        return next(iter(self.folds.values())).stretch

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that tables show."""
        fold = next(iter(self.folds.values()))
        return figures_of("classification" if fold.outputs else "regression", fold.stretch > 0)

    def _bounds(self, metric: str, difference: bool = False) -> Bounds | None:
        if metric in ("nll", NLL_TEMPERED):
            return None
        found = METRICS[metric]
        truth = np.concatenate([self.folds[min(split)].y_test for split in self.splits])
        return found.difference_bounds(truth) if difference else found.bounds(truth)

    def _rows(self, split: Mapping[int, Answered], metric: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        rows = np.stack([self._contributions(split[seed], seed, metric) for seed in seeds])
        return by_stretch(rows, self.stretch)

    def _contributions(self, answered: Answered, seed: int, metric: str) -> NDArray[np.float64]:
        fold, output = self.folds[seed], answered.test_output
        if metric in ("nll", NLL_TEMPERED) and not fold.outputs:
            return _gaussian(answered, fold)
        if metric == NLL_TEMPERED:
            return METRICS["nll"].rows(output / np.float32(self.temperatures[seed]), fold.y_test)
        return METRICS[metric].rows(output, fold.y_test, fold.scale)


def tempered_nll(answered: Answered, fold: Fold) -> tuple[float, float, float, float]:
    """A run's temperature, its test error, its test NLL, and that with the temperature."""
    alone = Standing(({0: answered},), {0: fold})
    error = alone.mean(ERRORS["classification" if fold.outputs else "regression"])
    return alone.temperatures[0], error, alone.mean("nll"), alone.mean(NLL_TEMPERED)


def _gaussian(answered: Answered, fold: Fold) -> NDArray[np.float64]:
    """The NLL of each test row in the target's units, of a normal distribution as wide as the validation residuals.

    Validation rows, because an overfitted network's training residuals are far too small.
    """
    off = answered.val_output[:, 0].astype(np.float64) - fold.y_val
    sigma = max(float(np.sqrt(np.mean(np.nan_to_num(off, nan=1e6) ** 2))), 1e-6)
    residual = answered.test_output[:, 0].astype(np.float64) - fold.y_test
    nll = (residual / sigma) ** 2 / 2 + np.log(sigma * fold.scale) + np.log(2 * np.pi) / 2
    return np.asarray(np.nan_to_num(np.minimum(nll, 1e6), nan=1e6))


@dataclass(frozen=True)
class Trained:
    """A level's runs: for each outer split the level (its strength may differ), its learning rate and its outcomes."""

    levels: tuple[Level, ...]
    lrs: tuple[float, ...]
    at_edge: bool
    outcomes: tuple[Mapping[int, Outcome], ...]  # by seed
    standing: Standing

    @property
    def level(self) -> Level:
        """The most frequent strength."""
        return Counter(self.levels).most_common(1)[0][0]

    @property
    def runs(self) -> list[Outcome]:
        """Of all outer splits, by seed."""
        found = {seed: outcome for split in self.outcomes for seed, outcome in split.items()}
        return [found[seed] for seed in sorted(found)]


def summed_up(trained: Trained, plain: Trained | None, task: str, metric: str) -> LevelResult:
    """The level's record; `plain` is the level to give the difference to."""
    standing, runs, level = trained.standing, trained.runs, trained.level
    error = standing.estimate(ERRORS[task])
    train_error = float(np.mean([run.train.error for run in runs]))
    others = {name: standing.mean(name) for name in standing.shown if name != metric}
    classes = task == "classification"
    return LevelResult(
        arm=level.arm,
        p=level.p,
        p_input=level.p_input,
        weight_decay=level.weight_decay,
        lrs=list(trained.lrs),
        lr_at_edge=trained.at_edge,
        seeds=len(runs),
        error=estimate(error),
        train_error=train_error,
        gap=error.value - train_error,
        metric=estimate(standing.estimate(metric)),
        against_plain=None if plain is None else estimate(standing.minus(plain.standing, metric)),
        figures=others,
        nll=standing.mean("nll"),
        nll_tempered=standing.mean(NLL_TEMPERED),
        temperature=float(np.exp(np.mean(np.log(list(standing.temperatures.values()))))),
        calibration=_calibration(standing) if classes else None,
        val_loss=float(np.mean([run.val.loss for run in runs])),
        val_nll=float(np.mean([run.val.nll for run in runs])),
        steps=float(np.median([run.best_step for run in runs])),
        unfinished=float(np.mean([run.ended == "steps" for run in runs])),
    )


def _calibration(standing: Standing) -> CalibrationEstimate | None:
    """Of all networks on their test rows, raw; None with outer splits, whose test sets are small, and of next words."""
    if len(standing.splits) > 1 or standing.stretch:
        return None
    [split] = standing.splits
    truth = standing.folds[min(split)].y_test.astype(np.int64)
    found = calibration_error([split[seed].test_output for seed in sorted(split)], truth)
    if found is None:
        return None
    return CalibrationEstimate(value=found.value, low=found.low, high=found.high, perfect=found.honest)


def estimate(found: Interval) -> Estimate:
    """An interval as the record has it."""
    return Estimate(value=found.value, low=found.low, high=found.high)
