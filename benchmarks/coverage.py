"""How often the study's 95 % interval holds the truth, where the truth is known.

    python -m benchmarks.coverage                # every case, 2,000 tables each: about 20 minutes
    python -m benchmarks.coverage --tables 200   # a first look

Each table is drawn anew from a source that is known. Its learners are networks of one hidden layer: random first
weights, a last layer by ridge regression on a seed's part of the pool, twice: with little ridge and with much (on such
a network dropout is a ridge: Wager, Wang and Liang 2013). The truth is the mean over 60 further seeds of the same pools
(this pool) or over those of all tables (a new sample), on 500 fresh rows of its own each, the noise integrated out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import log_softmax, softmax

from thinned.study.answer.another_sample import wider
from thinned.study.answer.interval import Interval, interval
from thinned.study.answer.metric import METRICS

Array = NDArray[Any]

INPUTS, UNITS, CLASSES, BANK = 6, 20, 3, 200
FRESH, FURTHER = 500, 60
RIDGES = (0.003, 0.3)  # times the training rows
TEST, TRAIN_OF_POOL = 0.25, 11 / 15  # 55 % training, 20 % validation, 25 % test
NOISES = {"classes": None, "gauss": stats.norm(), "t3": stats.t(3)}


@dataclass(frozen=True)
class Case:
    """A source of tables, and how a study divides them. `seeds` are those of each fold."""

    noise: str
    rows: int
    folds: int
    seeds: int
    spread: float = 1.0  # how large the noise is; for classes how sure the true probabilities are
    weights: int = BANK  # how many first weights there are; with one, seeds differ in their rows alone

    @property
    def test_rows(self) -> int:
        return self.rows if self.folds > 1 else round(TEST * self.rows)


@dataclass(frozen=True)
class Held:
    """A figure of one table: its interval, and what is true of its pools."""

    found: Interval
    truth: float


class Source:
    """Where tables come from: inputs, a smooth function of them, and noise."""

    def __init__(self, case: Case, key: int) -> None:
        self.case, self.rng = case, np.random.default_rng(key)
        fixed = np.random.default_rng(12)
        self.teacher = fixed.normal(size=(INPUTS, 8)) / 2, fixed.normal(size=(8, CLASSES))
        self.first = fixed.normal(size=(BANK, INPUTS + 1, UNITS))[: case.weights] / 2
        self.fresh = fixed.normal(size=(BANK, FRESH, INPUTS))
        self.mean = self.centre(self.fresh)
        self.sure = softmax(self.mean, axis=2)
        noise = NOISES[case.noise]
        self.variance, self.grid, self.curve = 0.0, np.linspace(-8, 8, 161) * max(case.spread, 1.0), np.zeros(161)
        if noise is not None:
            self.variance = case.spread**2 * float(noise.var())
            midpoints = case.spread * noise.ppf((np.arange(20_000) + 0.5) / 20_000)
            self.curve = np.abs(self.grid[:, None] + midpoints).mean(axis=1)  # the mean of |off + noise|

    def hidden(self, x: Array, which: Array) -> Array:
        """The hidden layer of some first weights: (networks, rows, units)."""
        ones = np.ones((*x.shape[:-1], 1))
        return np.maximum(np.concatenate([x, ones], axis=-1) @ self.first[which], 0)

    def centre(self, x: Array) -> Array:
        """Logits of the classes, or the mean of the target."""
        values = np.tanh(x @ self.teacher[0]) @ self.teacher[1]
        return values * self.case.spread if self.case.noise == "classes" else values[..., :1]

    def table(self) -> tuple[Array, Array]:
        x = self.rng.normal(size=(self.case.rows, INPUTS))
        mean = self.centre(x)
        if self.case.noise == "classes":
            return x, (mean + self.rng.gumbel(size=mean.shape)).argmax(axis=1)
        noise = self.rng.normal(size=len(x)) if self.case.noise == "gauss" else self.rng.standard_t(3, size=len(x))
        return x, mean[:, 0] + self.case.spread * noise

    def truths(self, which: Array, last: Array) -> dict[str, float]:
        """Metrics on fresh rows, mean over networks."""
        own = self.rng.integers(BANK, size=len(which))
        answers = self.hidden(self.fresh[own], which) @ last
        if self.case.noise == "classes":
            p = self.sure[own]
            right = np.take_along_axis(p, answers.argmax(axis=2)[:, :, None], axis=2).mean()
            return {"error": 1 - float(right), "nll": float(-(p * log_softmax(answers, axis=2)).sum(axis=2).mean())}
        off = (answers - self.mean[own])[:, :, 0]
        return {
            # the mean square over all networks' rows; networks of one pool differ little in it
            "rmse": float(np.sqrt((off**2).mean() + self.variance)),
            "mae": float(np.interp(off, self.grid, self.curve).mean()),
        }


def networks(source: Source, x: Array, y: Array, pool: Array, count: int) -> Iterator[tuple[Array, Array]]:
    """For each ridge: first weights and last layers of `count` networks of one pool."""
    size = round(TRAIN_OF_POOL * len(pool))
    which = source.rng.integers(len(source.first), size=count)
    rows = pool[source.rng.permuted(np.tile(np.arange(len(pool)), (count, 1)), axis=1)[:, :size]]
    hidden = source.hidden(x[rows], which)
    target = 3.0 * np.eye(CLASSES)[y][rows] if source.case.noise == "classes" else y[rows][:, :, None]
    gram, cross = hidden.transpose(0, 2, 1) @ hidden, hidden.transpose(0, 2, 1) @ target
    for ridge in RIDGES:
        yield which, np.linalg.solve(gram + ridge * size * np.eye(UNITS), cross)


def study(source: Source) -> dict[str, Held]:
    """One table's figures: each metric of the first ridge, and the difference between the two."""
    case = source.case
    x, y = source.table()
    order = source.rng.permutation(case.rows)
    tests = np.array_split(order, case.folds) if case.folds > 1 else [order[: case.test_rows]]
    names = [
        name
        for name in ("error", "nll", "rmse", "mae")
        if (METRICS[name].task == "classification") == (case.noise == "classes")
    ]
    values: dict[str, list[Array]] = {name: [] for name in [*names, *(f"{name} difference" for name in names)]}
    truth: dict[str, float] = dict.fromkeys(values, 0.0)
    for test in tests:
        pool = np.setdiff1d(order, test)
        rows, further = [], []
        for which, last in networks(source, x, y, pool, case.seeds + FURTHER):
            answers = source.hidden(x[test], which[: case.seeds]) @ last[: case.seeds]
            rows.append({name: np.stack([METRICS[name].rows(a, y[test]) for a in answers]) for name in names})
            further.append(source.truths(which[case.seeds :], last[case.seeds :]))
        for name in names:
            values[name].append(rows[0][name])
            values[f"{name} difference"].append(rows[1][name] - rows[0][name])
            truth[name] += further[0][name] * len(test) / case.test_rows
            truth[f"{name} difference"] += (further[1][name] - further[0][name]) * len(test) / case.test_rows
    found = {}
    for name, blocks in values.items():
        metric = METRICS[name.split()[0]]
        bounds = metric.difference_bounds(y) if "difference" in name else metric.bounds(y)
        found[name] = Held(interval(blocks, bounds), truth[name])
    return found


def studies(case: Case, tables: int, key: int = 0) -> dict[str, list[Held]]:
    source = Source(case, key)
    found: dict[str, list[Held]] = {}
    for _ in range(tables):
        for name, held in study(source).items():
            found.setdefault(name, []).append(held)
    return found


def held_of_pool(found: list[Held]) -> int:
    return sum(one.found.low <= one.truth <= one.found.high for one in found)


def held_of_sample(found: list[Held], overlap: float) -> int:
    truth = float(np.mean([one.truth for one in found]))
    intervals = [wider(one.found, overlap) for one in found]
    return sum(one.low <= truth <= one.high for one in intervals)


DIVIDED = ((178, 1, 20), (178, 4, 5), (1000, 1, 5), (1000, 1, 20), (1797, 1, 20))
CASES = [
    *(
        Case(noise, *divided, spread=spread)
        for noise, spread in (("classes", 1.0), ("classes", 5.0), ("gauss", 1.0), ("t3", 1.0))
        for divided in DIVIDED
    ),
    *(Case(noise, *divided, weights=1) for noise in NOISES for divided in DIVIDED[:3]),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--only", default="")
    parser.add_argument("--folds", type=int, default=0)
    options = parser.parse_args()
    print(
        "| noise | rows, folds x seeds | test rows | figure | mean | half width "
        "| new rows, this pool | new sample: as is | `wider` |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        if (options.only and case.noise != options.only) or (options.folds and case.folds != options.folds):
            continue
        for name, found in studies(case, options.tables).items():
            half = float(np.median([one.found.high - one.found.low for one in found])) / 2
            shares = [held_of_pool(found), held_of_sample(found, 0.0), held_of_sample(found, TRAIN_OF_POOL)]
            cells = " | ".join(f"{100 * share / options.tables:.1f} %" for share in shares)
            mean = float(np.mean([one.truth for one in found]))
            label = f"{case.noise}, {case.spread:g}" + ", one first weights" * (case.weights == 1)
            divided = f"{case.rows}, {case.folds} x {case.seeds} | {case.test_rows}"
            print(f"| {label} | {divided} | {name} | {mean:.4f} | {half:.4f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
