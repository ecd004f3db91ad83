"""What the estimators make of weights of rows: rows that stand several times, or weights of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight

Rows = NDArray[Any]

REPEATED = 20  # whole weights are repetitions up to so many rows for each one given


def row_weights(
    owner: str, x: Rows, y: Rows, sample_weight: Any, class_weight: Any = None
) -> NDArray[np.float64] | None:
    """The weight of each row: that of the sample times that of its class; None if all are 1.

    Raises: ValueError for weights of another number, negative ones, classes that `y` has not, and if all are 0;
        TypeError for a `class_weight` that is neither a mapping nor text.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y))
    if sample_weight is not None:
        weights *= _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
    if class_weight is not None:
        if class_weight != "balanced" and not isinstance(class_weight, Mapping):
            kind = ValueError if isinstance(class_weight, str) else TypeError
            raise kind(
                f"`{owner}`: `class_weight` must be a mapping from classes to weights, 'balanced' or None. "
                f"Got {class_weight!r}. Pass {{class: weight}}."
            )
        weights *= compute_sample_weight(class_weight, y)
    if not np.isfinite(weights).all() or (weights < 0.0).any() or not weights.any():
        raise ValueError(
            f"`{owner}.fit`: weights of rows must be finite, 0 or more, and not all 0. Got {weights.min():g} to "
            f"{weights.max():g}. Pass sample_weight and class_weight of 0 or more."
        )
    return None if (weights == 1.0).all() else weights


def arranged(x: Rows, y: Rows, weights: NDArray[np.float64] | None) -> tuple[Rows, Rows, NDArray[np.float64] | None]:
    """Rows in an order of their own, as they are to be trained on, and the weights of their losses.

    The order depends on the rows' values alone, so a fit does not depend on the order in which they come. A row of
    weight 0 is left out. Whole weights repeat a row: a weight of 2 is the same as the row twice. Other weights multiply
    a row's loss, scaled to the mean 1; so do whole ones that would repeat too many rows.

    >>> arranged(np.array([[1.0], [2.0]]), np.array([0, 1]), np.array([0.0, 3.0]))[1:]
    (array([1, 1, 1]), None)
    >>> arranged(np.array([[1.0]]), np.array([0]), np.array([0.7]))[2]
    array([1.])
    """
    if weights is not None:
        used = weights > 0.0
        x, y, weights = x[used], y[used], weights[used]
        whole = np.rint(weights)
        if (whole == weights).all() and weights.sum() <= REPEATED * len(x):
            times = whole.astype(np.int64)
            x, y, weights = x.repeat(times, axis=0), y.repeat(times, axis=0), None
    digests = [_digest(row, target) for row, target in zip(x, y, strict=True)]
    order = np.argsort(np.array(digests), kind="stable")
    return x[order], y[order], None if weights is None else weights[order] / weights.mean()


def _digest(row: Rows, target: Any) -> bytes:
    said = target.tobytes() if isinstance(target, np.ndarray) else str(target).encode()
    return blake2b(row.tobytes() + said, digest_size=8).digest()
