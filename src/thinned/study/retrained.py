"""Networks trained again, for their weights and for what their first hidden layer answers to some test rows.

A trial records figures only. The few networks that are wanted in the end are trained again: the same numbers, bit for
bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..noise import fold_in
from .fold import Fold
from .trial import Config, Recipe, deviation, train

SHOWN_ROWS = 32
_SHOWN_MASK = 3  # a child key of the seed's own, after trial's three


@dataclass(frozen=True)
class Retrained:
    """A trained network and its first hidden layer's outputs on the first test rows, rows x units."""

    config: Config
    weights: dict[str, NDArray[np.float32]]
    sigma: float
    val_nll: float
    whole: NDArray[np.float32]  # at inference
    thinned: NDArray[np.float32]  # in training mode, after dropout
    mask: NDArray[np.bool_]


def retrain(config: Config, fold: Fold, recipe: Recipe) -> Retrained:
    """Train a trial's network again, for what the trial has not recorded."""
    network, points = train(config, fold, recipe)
    x = torch.from_numpy(fold.x_test[:SHOWN_ROWS])
    key = fold_in(fold_in(recipe.key, config.seed), _SHOWN_MASK)
    with torch.no_grad():
        whole = network.activation(network.linear[0](x))
        dropout = network.dropout[0].train()
        thinned, mask = dropout(whole, key=key), dropout(torch.ones_like(whole), key=key) != 0
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return Retrained(
        config,
        weights,
        deviation(network.eval(), fold),
        points[-1].val_nll,
        whole.numpy(),
        thinned.numpy(),
        mask.numpy(),
    )
