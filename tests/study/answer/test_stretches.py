"""Intervals over stretches of a running text, whose rows are not independent."""

from __future__ import annotations

import numpy as np
import pytest

from thinned.study.answer.interval import interval
from thinned.study.answer.stretches import by_stretch


def texts(seed: int, rows: int = 1500) -> np.ndarray:
    """Two seeds' values on rows of which each is tied to the one before: mean 0."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=rows + 50)
    tied = np.zeros(rows + 50)
    for row in range(1, len(tied)):
        tied[row] = 0.8 * tied[row - 1] + shocks[row]
    return tied[50:] + 0.1 * rng.normal(size=(2, rows))


def test_stretches_hold_the_truth_where_rows_by_themselves_do_not() -> None:
    held = dict.fromkeys((0, 50), 0)
    for seed in range(120):
        values = texts(seed)
        for stretch in held:
            found = interval([by_stretch(values, stretch)])
            held[stretch] += found.low <= 0 <= found.high
    assert held[50] >= 107  # of 120; 95 % are 114, and 107 is the 0.1 % quantile of its binomial law
    assert held[0] <= 80


def test_the_mean_is_that_of_rows() -> None:
    values = texts(0)
    assert by_stretch(values, 50).shape == (2, 30)
    assert by_stretch(values, 50).mean() == pytest.approx(values.mean())
    assert by_stretch(values, 0) is values
