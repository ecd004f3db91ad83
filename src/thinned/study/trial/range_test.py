"""Which learning rates are worth trying: a range test, in which the rate rises until training falls apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import torch

from ...fit.learners import Learners
from ...fit.separate import Separate
from ...fit.stack import Member, Stack
from ...noise import fold_in
from ..networks.next_word import lesson_of
from .config import Level, Recipe
from .fold import Fold
from .one_thread import one_thread
from .unit import build

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 200
SMOOTHING = 0.9  # what a smoothed loss keeps of the one before
UNTRAINED = 20  # steps, up to a rate of 5e-6: what their losses say is the untrained network's
MARGIN = 2.0  # the largest rate proposed is so far under the one at which training diverges
START, END = 3e-4, 3e-2  # of what is proposed; a search widens it where the best lies at an end
RATES = 5  # proposed, at the least


@dataclass(frozen=True)
class RangeTest:
    """The course of a range test.

    `lrs` are the learning rates of its steps, `losses` the smoothed training losses a row, up to where they are no
    numbers. At `diverges_at` and above the network is worse than untrained; None if no rate of the test is so high.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    diverges_at: float | None

    def proposed(self) -> tuple[float, ...]:
        """Learning rates to search, a factor of three apart: 1 or 3 times a power of ten.

        Up to half the rate at which training diverges, and 3e-2; from 3e-4 on, or lower where these are fewer than
        five.

        >>> RangeTest((), (), 0.1).proposed()
        (0.0003, 0.001, 0.003, 0.01, 0.03)
        """
        limit = (HIGHEST if self.diverges_at is None else self.diverges_at) / MARGIN
        rates = [
            rate for exponent in range(-8, 1) for digit in (1, 3) if (rate := float(f"{digit}e{exponent}")) <= limit
        ]
        rates = [rate for rate in rates if rate <= END]
        return tuple(rate for rate in rates if rate >= min(rates[-RATES], START))


def range_test(fold: Fold, recipe: Recipe) -> RangeTest:
    """Train the first seed's network without dropout while the rate rises from 1e-6 to 10 over 200 steps.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017.
    """
    member = Member(rows=0, key=fold_in(recipe.key, 0), p=0.0, p_input=0.0, lr=HIGHEST, weight_decay=0.0)
    x, y = (torch.from_numpy(rows)[None].to(recipe.device) for rows in (fold.x_train, fold.y_train))
    outputs = max(fold.outputs, 1)
    learners: Learners
    if recipe.network == "perceptron":
        learners = Stack([member], x, y, outputs, recipe.hidden, recipe.batch)
    else:
        builds = [partial(build, recipe, outputs, Level("dropout"))]
        learners = Separate([member], x, y, builds, recipe.batch, lesson=lesson_of(recipe.shape))
    lrs = [LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)) for step in range(STEPS)]
    losses = []
    with one_thread():
        for lr in lrs:
            learners.step(lr / HIGHEST)
            losses.append(learners.loss().item())
            if not math.isfinite(losses[-1]):
                break
    return judged(lrs, losses)


def judged(lrs: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """What the losses of a range test say, each step's own; the last may be no number, and then ends the test.

    >>> judged([1e-6] * 20 + [1.0, 2.0], [1.0] * 20 + [0.5, float("inf")]).diverges_at
    2.0
    """
    smoothed: list[float] = []
    for loss in losses:
        if math.isfinite(loss):
            smoothed.append(SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * loss if smoothed else loss)
    untrained = fmean(losses[:UNTRAINED])
    best = min(range(len(smoothed)), key=smoothed.__getitem__)
    worse = (step for step in range(best, len(losses)) if step == len(smoothed) or smoothed[step] > untrained)
    step = next(worse, None)
    return RangeTest(tuple(lrs[: len(smoothed)]), tuple(smoothed), None if step is None else lrs[step])
