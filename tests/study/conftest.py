"""Networks trained in an instant: least squares on random features, in the form that a study has them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from thinned.study.answer.together import SeedNetwork
from thinned.study.trial.fold import Fold

Split = Callable[[NDArray[np.float64], NDArray[np.float64], int], tuple[list[SeedNetwork], list[NDArray[np.float64]]]]


@pytest.fixture(scope="session")
def fitted() -> Split:
    """Members on random halves of the rows, and each one's coefficients in the target's units, the constant last."""

    def fit(
        x: NDArray[np.float64], y: NDArray[np.float64], seeds: int
    ) -> tuple[list[SeedNetwork], list[NDArray[np.float64]]]:
        members, found = [], []
        x = np.column_stack([x, np.ones(len(x))])
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(x))
            train, val = order[: len(x) * 3 // 4], order[len(x) * 3 // 4 :]
            mean, scale = float(y[train].mean()), float(y[train].std())
            z = ((y - mean) / scale).astype(np.float32)
            weights = np.linalg.lstsq(x[train], z[train], rcond=None)[0]
            none = np.zeros((0, 1), dtype=np.float32)
            fold = Fold(none, z[:0], none, z[val], none, z[:0], val, val[:0], 0, mean, scale)
            members.append(SeedNetwork(fold, (x[val] @ weights)[:, None].astype(np.float32), none))
            found.append(weights * scale + mean * (np.arange(len(weights)) == len(weights) - 1))
        return members, found

    return fit
