"""Noise as a regulariser: linear regression with dropout is ridge, each weight's penalty scaled by its column.

    E |y - (M * X) w / q|^2 = |y - X w|^2 + (p/q) sum_j w_j^2 sum_i x_ij^2

and Gaussian dropout, whose noise has the same two moments, gives the same right-hand side.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from thinned.nn import Dropout, GaussianDropout
from thinned.noise import realised

ROWS, COLUMNS = 3, 4


def problem() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(12)
    x = torch.randn(ROWS, COLUMNS, dtype=torch.float64, generator=generator) * torch.tensor([0.3, 1.0, 2.0, 0.7])
    y, w = (torch.randn(n, dtype=torch.float64, generator=generator) for n in (ROWS, COLUMNS))
    return x, y, w


def ridge(x: Tensor, y: Tensor, w: Tensor, ratio: float) -> Tensor:
    return (y - x @ w).square().sum() + ratio * (w.square() @ x.square().sum(0))


def every_loss(x: Tensor, y: Tensor, w: Tensor, dropped: float) -> tuple[Tensor, Tensor]:
    """The loss under each of the 2^12 masks of X, and each mask's probability."""
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=ROWS * COLUMNS)), dtype=torch.float64)
    kept = masks.sum(1)
    chances = (1 - dropped) ** kept * dropped ** (ROWS * COLUMNS - kept)
    thinned = masks.view(-1, ROWS, COLUMNS) * x / (1 - dropped)
    return (y - thinned @ w).square().sum(1), chances


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_the_expected_loss_over_all_masks_is_ridge(p: float) -> None:
    x, y, w = problem()
    dropped = realised(p)
    losses, chances = every_loss(x, y, w, dropped)
    expected = ridge(x, y, w, dropped / (1 - dropped))
    torch.testing.assert_close(chances @ losses, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_ridge_s_solution_minimises_it(p: float) -> None:
    x, y, _ = problem()
    dropped = realised(p)
    gram = x.T @ x
    solution = torch.linalg.solve(gram + dropped / (1 - dropped) * gram.diagonal().diag(), x.T @ y)
    w = solution.clone().requires_grad_()
    losses, chances = every_loss(x, y, w, dropped)
    (gradient,) = torch.autograd.grad(chances @ losses, w)
    torch.testing.assert_close(gradient, torch.zeros(COLUMNS, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_the_layer_s_mean_loss_is_ridge(p: float) -> None:
    x, y, w = problem()
    draws = 50_000
    losses, chances = every_loss(x, y, w, realised(p))
    mean = chances @ losses
    error = math.sqrt(chances @ (losses - mean).square() / draws)
    sampled = (y - Dropout(p)(x.expand(draws, ROWS, COLUMNS), key=61) @ w).square().sum(1)
    assert abs((sampled.mean() - mean).item()) < 4 * error


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_gaussian_dropout_is_the_same_ridge(p: float) -> None:
    """A row's residual is Normal(r, s^2), its square has variance 2 s^4 + 4 r^2 s^2; sigma^2 = p / q, p as asked."""
    x, y, w = problem()
    draws = 50_000
    ratio = p / (1 - p)
    residual, variance = y - x @ w, ratio * (x * w).square().sum(1)
    error = ((2 * variance.square() + 4 * residual.square() * variance).sum() / draws).sqrt()
    sampled = (y - GaussianDropout(p)(x.expand(draws, ROWS, COLUMNS), key=62) @ w).square().sum(1)
    assert (sampled.mean() - ridge(x, y, w, ratio)).abs() < 4 * error
