"""How sure a mean over seeds and test rows is, when both are samples.

For values `v[s, i]` of S seeds on N common test rows, `v = mean + seed effect + row effect + rest`:

    se^2 = Var_s(mean_i v) / S + Var_i(mean_s v) / N

Both terms hold a share `Var(rest) / (S N)`, which is therefore counted twice: a little conservative. The degrees of
freedom are Satterthwaite's, between S - 1 (only seeds matter) and N - 1 (only rows do).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def minus(self) -> Interval:
        return Interval(-self.value, -self.high, -self.low)


def interval(values: NDArray[np.float64]) -> Interval:
    """The mean of `values` (S seeds x N test rows) with its 95 % interval.

    Raises ValueError for fewer than two seeds or rows.

    >>> interval(np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])).value
    0.6666666666666666
    """
    seeds, rows = values.shape
    if min(seeds, rows) < 2:
        raise ValueError(f"`interval`: `values` must have at least two seeds and two rows. Got {seeds} x {rows}.")
    value = float(values.mean())
    by_seed = float(values.mean(axis=1).var(ddof=1)) / seeds
    by_row = float(values.mean(axis=0).var(ddof=1)) / rows
    total = by_seed + by_row
    if total == 0.0:
        return Interval(value, value, value)
    freedom = total**2 / (by_seed**2 / (seeds - 1) + by_row**2 / (rows - 1))
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * total**0.5
    return Interval(value, value - half, value + half)


def rms_influence(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values whose mean over rows is each seed's root mean square, and their spread its sampling error (delta method).

    `r = sqrt(mean_i e_i)` has the influence values `r + (e_i - r^2) / (2 r)`, so `interval` serves RMSE and error
    alike.
    """
    root = np.sqrt(squares.mean(axis=1, keepdims=True))
    influence: NDArray[np.float64] = root + (squares - root**2) / (2 * np.where(root == 0, 1, root))
    return influence
