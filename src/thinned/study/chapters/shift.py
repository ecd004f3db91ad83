"""The variance shift of batch norms in a chain of layers, by formula (Li et al. 2019)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...nn import Dropout


@torch.no_grad()
def shift_by_formula(network: nn.Sequential, x: Tensor) -> dict[str, float]:
    """For each batch norm, by name: the variance of its input at inference over that in training.

    Right behind a dropout whose input has the mean c and the variance v, it is `q v / (v + p c^2)`. With weights w
    between, it is `V / (V + (p / q) sum_j w_j^2 E[x_j^2])`, where V is the variance of w x: the first is its case of
    one weight. It counts the last dropout alone: noise from further in front is not in it. Where there is none, it
    is 1. Of the channels, the median. Batch norms normalise by the batch, as `thinned.variance_shift` measures them.

    Arguments:
        network: layers one after another.
        x: rows.

    >>> net = nn.Sequential(Dropout(0.5), nn.BatchNorm1d(2))
    >>> shift_by_formula(net, torch.tensor([[-1.0, 0.0], [1.0, 2.0]]).repeat(500, 1))  # means 0 and 1, variances 1
    {'1': 0.416...}
    """
    found = {}
    noise: tuple[Tensor, float] | None = None  # what the last dropout is given, and its p
    weight: Tensor | None = None
    for name, layer in copy.deepcopy(network).named_children():
        if isinstance(layer, Dropout):
            noise, weight = (x, layer.p), None
        elif isinstance(layer, nn.Linear):
            weight = layer.weight
        elif isinstance(layer, nn.BatchNorm1d):
            found[name] = 1.0 if noise is None else _ratio(x, *noise, weight)
            noise = None
        x = layer.train(isinstance(layer, nn.BatchNorm1d))(x)
    return found


def _ratio(read: Tensor, dropped: Tensor, p: float, weight: Tensor | None) -> float:
    """`read` is what the norm reads at inference, `dropped` what the dropout is given."""
    quiet, square = read.double().var(0), dropped.double().square().mean(0)
    added = p / (1 - p) * (square if weight is None else weight.double().square() @ square)
    alive = quiet > 0
    return float((quiet / (quiet + added))[alive].quantile(0.5)) if alive.any() else 1.0
