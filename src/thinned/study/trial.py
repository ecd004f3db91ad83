"""One training run: a pure function of its configuration and its fold.

Initial weights, the order of the rows and the masks depend on the seed alone. Masks are nested in p: one key at two
rates drops a subset. So runs that differ in p or learning rate are compared on paired noise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..fit.loop import Course, Loop
from ..fit.perceptron import Perceptron
from ..noise import fold_in
from .fold import Fold
from .record import Arm

WARM_UP = 0.1  # the share of steps over which the learning rate rises
CURVE_POINTS = 10
CURVE_ROWS = 500  # of each set: measuring all of them at every point would cost as much as training
WORST_NLL = 100.0  # nats; what a row counts where a diverged network's answer is no number
_INIT, _ORDER, _MASKS = range(3)


@dataclass(frozen=True)
class Config:
    """What tells one trial from another."""

    arm: Arm
    p: float
    lr: float
    weight_decay: float
    seed: int
    p_input: float = 0.0

    @property
    def name(self) -> str:
        inputs = f"-in{self.p_input:g}" if self.p_input else ""
        return f"{self.arm}-p{self.p:g}{inputs}-lr{self.lr:g}-wd{self.weight_decay:g}-seed{self.seed}"


@dataclass(frozen=True)
class Recipe:
    """What all trials of a study share."""

    key: int  # the study's seed
    hidden: tuple[int, ...]
    epochs: int
    batch: int


@dataclass(frozen=True)
class Score:
    """A network on some rows: their mean error, NLL and squared error, and what each row contributes.

    `loss` is the squared error of the prediction: for classes, of the vector of probabilities (Brier 1950).

    `row_error` is 0 or 1, or a squared error in the target's units. `row_nll` is in nats. `row_sure` is the
    probability of the predicted class, or whether the value lies in the 95 % prediction interval.
    """

    error: float
    nll: float
    loss: float
    row_error: NDArray[np.float64]
    row_nll: NDArray[np.float64]
    row_sure: NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A point of a learning curve."""

    epoch: int
    train_loss: float
    train_error: float
    train_nll: float
    val_error: float
    val_nll: float


@dataclass(frozen=True)
class Outcome:
    """A finished trial."""

    config: Config
    points: tuple[Measured, ...]
    train: Score
    val: Score
    test: Score
    seconds: float


def run(config: Config, fold: Fold, recipe: Recipe) -> Outcome:
    """Train and measure. The same arguments give the same numbers, bit for bit, in any process with one torch
    thread."""
    start = time.perf_counter()
    network, points = train(config, fold, recipe)
    sigma = deviation(network, fold)
    on_train, on_val, on_test = (
        score(network, torch.from_numpy(x), torch.from_numpy(y), fold, sigma)
        for x, y in ((fold.x_train, fold.y_train), (fold.x_val, fold.y_val), (fold.x_test, fold.y_test))
    )
    return Outcome(config, tuple(points), on_train, on_val, on_test, time.perf_counter() - start)


def train(config: Config, fold: Fold, recipe: Recipe) -> tuple[Perceptron, list[Measured]]:
    """The trained network, in evaluation mode, and its learning curve, measured on the first 500 rows of each set."""
    key = fold_in(recipe.key, config.seed)
    network = Perceptron(
        fold.x_train.shape[1],
        recipe.hidden,
        max(fold.outputs, 1),
        config.p,
        config.p_input,
        torch.Generator().manual_seed(fold_in(key, _INIT)),
    )
    x, y = torch.from_numpy(fold.x_train), torch.from_numpy(fold.y_train)
    x_val, y_val = torch.from_numpy(fold.x_val), torch.from_numpy(fold.y_val)
    course = Course(
        lr=config.lr,
        lr_share=lr_share,
        weight_decay=config.weight_decay,
        batch=recipe.batch,
        epochs=recipe.epochs,
        order=fold_in(key, _ORDER),
        masks=fold_in(key, _MASKS),
    )
    loop = Loop(network, x, y, course)
    stride = -(-recipe.epochs // CURVE_POINTS)
    points: list[Measured] = []
    for epoch in range(1, recipe.epochs + 1):
        loss_sum = 0.0
        for loss, rows in loop.epoch():
            loss_sum += loss.item() * rows
        if epoch % stride == 0 or epoch in (1, recipe.epochs):
            network.eval()
            sigma = deviation(network, fold)
            on_train = score(network, x[:CURVE_ROWS], y[:CURVE_ROWS], fold, sigma)
            on_val = score(network, x_val[:CURVE_ROWS], y_val[:CURVE_ROWS], fold, sigma)
            points.append(Measured(epoch, loss_sum / len(x), on_train.error, on_train.nll, on_val.error, on_val.nll))
    return network.eval(), points


def lr_share(step: int, steps: int) -> float:
    """The share of the highest learning rate that a step has: it rises for a tenth of the steps, and falls to 0."""
    return min((step + 1) / (WARM_UP * steps), (1 - step / steps) / (1 - WARM_UP), 1.0)


def deviation(network: Perceptron, fold: Fold) -> float:
    """Regression: the root mean square of the validation residuals, in standardised units; the predicted
    distribution's width.

    Estimated on validation rows because training residuals of an overfitted network are far too small.
    """
    if fold.outputs:
        return 1.0
    with torch.no_grad():
        residual = network(torch.from_numpy(fold.x_val)).squeeze(1).numpy() - fold.y_val
    return max(float(np.sqrt(np.mean(np.square(residual, dtype=np.float64)))), 1e-6)


def score(network: Perceptron, x: Tensor, y: Tensor, fold: Fold, sigma: float) -> Score:
    """Measure on rows, dropout off (the network must be in evaluation mode)."""
    with torch.no_grad():
        output = network(x).double()
    if fold.outputs:
        log_probability = functional.log_softmax(output, dim=1)
        sure, guess = log_probability.exp().max(dim=1)
        row_error = (guess != y).double()
        row_nll = functional.nll_loss(log_probability, y, reduction="none")
        error = row_error.mean().item()
        wrong = log_probability.exp() - functional.one_hot(y, fold.outputs)
        loss = wrong.square().sum(dim=1).nan_to_num(nan=2.0).mean().item()
    else:
        residual = output.squeeze(1) - y
        row_error = (residual * fold.scale).square().nan_to_num(nan=(WORST_NLL * fold.scale) ** 2)
        row_nll = (residual / sigma).square() / 2 + np.log(sigma * fold.scale) + np.log(2 * np.pi) / 2
        sure = (residual.abs() <= 1.959964 * sigma).double()
        error = row_error.mean().sqrt().item()
        loss = row_error.mean().item()
    row_nll = row_nll.nan_to_num(nan=WORST_NLL, posinf=WORST_NLL)
    sure = sure.nan_to_num(nan=1.0)
    return Score(error, row_nll.mean().item(), loss, row_error.numpy(), row_nll.numpy(), sure.numpy())
