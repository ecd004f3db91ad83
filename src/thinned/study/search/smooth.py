"""A loss surface smoothed over neighbours: a choice takes a good region, not one lucky cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CEILING = 1.25  # a cell counts at most so many times the least loss of its row: a hopeless neighbour is only bad


def smooth(losses: ArrayLike) -> NDArray[np.float64]:
    """Each cell's logarithm averaged with its neighbours', and taken back.

    The weights are (1, 2, 1) / 4 along levels, and (1, 4, 1) / 6 along learning rates: these are a factor of three
    apart, and a good one's neighbours may truly be worse.

    `losses` `(levels, learning rates)` are positive, nan where nothing was trained, inf where training diverged. Empty
    cells stay nan and weigh nothing, and what diverged stays inf, however good its neighbours are. Where a side has no
    neighbour, the others' weights are shared out.

    >>> smooth([[4.0, 2.0, 4.0]]).round(2).tolist()
    [[2.39, 2.15, 2.39]]
    >>> smooth([[1.0, np.nan, 1.0]]).tolist()
    [[1.0, nan, 1.0]]
    """
    table = np.atleast_2d(np.asarray(losses, dtype=np.float64))
    known = ~np.isnan(table)
    least = np.min(np.where(np.isfinite(table), table, np.inf), axis=1, keepdims=True)
    logs = np.log(np.where(known, np.maximum(np.minimum(table, CEILING * least), 1e-300), 1.0))
    for axis, own in ((0, 2.0), (1, 4.0)):
        logs = _average(logs, known, axis, own)
    return np.where(np.isinf(table), np.inf, np.where(known, np.exp(logs), np.nan))


def _average(logs: NDArray[np.float64], known: NDArray[np.bool_], axis: int, own: float) -> NDArray[np.float64]:
    weight = np.pad(known.astype(float), [(1, 1) if a == axis else (0, 0) for a in (0, 1)])
    value = np.pad(np.where(known, logs, 0.0), [(1, 1) if a == axis else (0, 0) for a in (0, 1)])
    size = logs.shape[axis]
    total = np.zeros_like(logs)
    share = np.zeros_like(logs)
    for start, factor in ((0, 1.0), (1, own), (2, 1.0)):
        part = tuple(slice(start, start + size) if a == axis else slice(None) for a in (0, 1))
        total += factor * value[part]
        share += factor * weight[part]
    return total / np.maximum(share, 1e-300)
