"""The wider interval, for a table that is drawn anew."""

import numpy as np
import pytest
from scipy.stats import binom

from thinned.study.answer.another_sample import shared, wider
from thinned.study.answer.interval import interval


def test_holds_the_mean_over_pools_where_seeds_see_a_part_of_each() -> None:
    """A network's figure is the mean of its training rows, tested on many rows: all that pools and seeds can do."""
    rng, repeats, pool, train = np.random.default_rng(0), 1000, 60, 44
    narrow = wide = 0
    for _ in range(repeats):
        rows = rng.normal(size=pool)
        figures = np.array([rng.permutation(rows)[:train].mean() for _ in range(20)])
        found = interval([figures[:, None] + 0.1 * rng.normal(size=(1, 200))])
        wide += (outer := wider(found, train / pool)).low <= 0 <= outer.high
        narrow += found.low <= 0 <= found.high
    assert binom.ppf(1e-4, repeats, 0.94) <= wide <= binom.ppf(1 - 1e-4, repeats, 0.97)
    assert narrow < binom.ppf(1e-4, repeats, 0.6)


def test_it_is_never_narrower_and_without_overlap_the_same() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = interval([rng.normal(size=(4, 1)) + rng.normal(size=(4, 30))])
        outer = wider(found, 0.7)
        assert outer.low <= found.low < found.high <= outer.high
        assert wider(found, 0.0) == found


def test_overlap_is_the_share_of_rows_in_common() -> None:
    pool = np.arange(1000)
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(pool)[:733] for _ in range(6)]
    # a hypergeometric share of 0.733 with deviation 0.0084 a pair; 15 pairs, five deviations of their mean
    assert shared(drawn) == pytest.approx(0.733, abs=0.011)


def test_bad_overlaps_are_refused() -> None:
    found = interval([np.random.default_rng(0).normal(size=(4, 30))])
    with pytest.raises(ValueError, match=r"must be in \[0, 1\). Got 1"):
        wider(found, 1)
    with pytest.raises(ValueError, match="two seeds at least"):
        shared([np.arange(3)])
