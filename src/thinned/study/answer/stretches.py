"""The rows of a running text as units of an interval: stretches of neighbouring words, each by its mean.

Words near each other are about one thing, so a figure of theirs is not a mean of independent ones. Means of stretches
nearly are, where a stretch is long against what ties its words together (batch means: Conway 1963).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def by_stretch(values: NDArray[np.float64], stretch: int) -> NDArray[np.float64]:
    """Values of rows `(..., rows)` as means of so many neighbours; as they are where a stretch is no word.

    >>> by_stretch(np.array([[1.0, 3.0, 5.0, 7.0]]), 2)
    array([[2., 6.]])
    """
    if not stretch:
        return values
    return np.asarray(values.reshape(*values.shape[:-1], -1, stretch).mean(axis=-1))
