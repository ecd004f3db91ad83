"""Rows that are kept from training: which they are, and how wide the targets spread about what is predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH_FLOOR = 1e-6  # of a target's standard deviation: a likelihood has no maximum where predictions are exact
_ROUNDS, _ENOUGH = 500, 1e-7


def hold_out(
    rows: int, fraction: float, seed: int, classes: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on, and rows to hold out: `fraction` of them, one at least.

    With classes the shares of both parts are as near as counts allow, and a random row of each class stays in training.

    >>> train, held = hold_out(10, 0.3, 0, np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 2]))
    >>> len(held), 9 in held
    (3, False)
    """
    order = np.random.default_rng(seed).permutation(rows)
    count = min(max(1, round(fraction * rows)), rows - 1)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
        order = np.delete(order, np.unique(classes[order], return_index=True)[1])
        count = min(count, len(order))
        order = order[((np.arange(count) + 0.5) * len(order) / max(count, 1)).astype(np.int64)]
    held = np.sort(order[:count])
    return np.setdiff1d(np.arange(rows), held), held


def width(
    outputs: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """The sigma at which `prod_i (1/n) sum_t N(y_i; f_t(x_i), sigma^2)` is greatest, for outputs `(n, N)`.

    With weights, row i counts `w_i` times.

    By expectation maximisation, whose steps never lower the likelihood; for one sample it is the root mean square of
    the residuals. Source: Gal and Ghahramani 2016, equation 8; Dempster, Laird and Rubin 1977.

    >>> round(width(np.zeros((1, 2)), np.array([3.0, -4.0])) ** 2, 9)
    12.5
    """
    square = (outputs - targets) ** 2
    variance = float(np.average(square.mean(0), weights=weights))
    for _ in range(_ROUNDS):
        variance = max(variance, WIDTH_FLOOR**2)
        weight = np.exp((square.min(0) - square) / (2.0 * variance))
        found = float(np.average((weight * square).sum(0) / weight.sum(0), weights=weights))
        if abs(found - variance) <= _ENOUGH * variance:
            break
        variance = found
    return float(np.sqrt(max(variance, WIDTH_FLOOR**2)))
