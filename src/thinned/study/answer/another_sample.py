"""The other question: how far a figure would move if the whole table were drawn anew, and networks trained on that.

`interval` takes the pool of rows as given. Its seeds train on overlapping parts of one pool, so they agree more than
networks of different pools would. If a share f of a seed's training rows is another seed's too, and rows act on a
network one by one (to first order), seeds of one pool differ by (1 - f) of the variance that pools differ by, and share
f of it. What they share shows in no seed of this study; it is added:

    se^2 = se^2 of the interval + f / (1 - f) * S * seeds' part

the correction of Nadeau and Bengio (2003), whose `1/J + n_test/n_train` is `1/J + f/(1 - f)` for their f. First weights
and masks differ between seeds as well and are no matter of the pool: with them the interval is rather too wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from .interval import LEVEL, Interval


def wider(interval: Interval, overlap: float) -> Interval:
    """The interval for *a new sample of the same size, with networks trained anew on it*.

    Arguments:
        interval: of `interval(...)`; an end that was at the edge of what is possible may now lie beyond it.
        overlap: the share of a seed's training rows that another seed of the same fold trains on too, in [0, 1): the
            mean of `shared`; about training rows / (training + validation rows).

    Raises ValueError for an overlap outside [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"`wider`: `overlap` must be in [0, 1). Got {overlap}. It is a share of training rows.")
    hidden = overlap / (1 - overlap) * interval.seeds * interval.seeds_part
    if hidden == 0:
        return interval
    se = (interval.se**2 + hidden) ** 0.5
    by_seed = interval.seeds_part + hidden
    rest = se**2 - by_seed
    df = se**4 / (by_seed**2 / (interval.seeds - 1) + rest**2 / (interval.rows - 1))
    before = float(stdtrit(interval.df, (1 + LEVEL) / 2)) * interval.se
    grown = float(stdtrit(df, (1 + LEVEL) / 2)) * se / before
    low = interval.value - (interval.value - interval.low) * grown
    high = interval.value + (interval.high - interval.value) * grown
    return replace(interval, low=min(low, interval.low), high=max(high, interval.high), se=se, df=df)


def shared(train: Sequence[NDArray[np.int64]]) -> float:
    """The mean share of training rows that two seeds of one fold have in common.

    >>> round(shared([np.array([0, 1, 2]), np.array([1, 2, 3])]), 3)
    0.667
    """
    pairs = [(a, b) for i, a in enumerate(train) for b in train[i + 1 :]]
    if not pairs:
        raise ValueError("`shared`: `train` must hold the rows of two seeds at least. Got fewer.")
    return float(np.mean([2 * len(np.intersect1d(a, b)) / (len(a) + len(b)) for a, b in pairs]))
