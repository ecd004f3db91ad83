"""Drawing rows."""

import numpy as np
import pytest

from thinned.study.data.draw import draw, quotas


@pytest.mark.parametrize("count", [0, 1, 37, 99, 100])
def test_exactly_so_many_single_rows(count: int) -> None:
    among = np.arange(100, 200)
    labels = np.arange(200) % 3
    drawn, rest = draw(among, count, 5, labels)
    assert len(drawn) == count
    assert sorted([*drawn, *rest]) == list(range(100, 200))


def test_every_row_is_drawn_equally_often() -> None:
    labels = np.repeat([0, 1], [30, 10])
    times = sum(np.isin(np.arange(40), draw(np.arange(40), 20, key, labels)[0]).astype(int) for key in range(400))
    # Binomial(400, 1/2), of deviation 10; P(beyond 4.5 deviations) = 7e-6, times 40 rows.
    assert np.abs(np.asarray(times) - 200).max() < 4.5 * 10


def test_quotas_follow_the_totals() -> None:
    assert quotas(np.array([10, 20, 70]), 10, 0).tolist() == [1, 2, 7]
    assert quotas(np.array([1, 1, 98]), 50, 0).sum() == 50
    assert quotas(np.array([3, 0, 5]), 8, 0).tolist() == [3, 0, 5]
    assert {tuple(quotas(np.array([5, 5]), 3, key).tolist()) for key in range(20)} == {(1, 2), (2, 1)}


def test_groups_come_whole_and_enough_of_them() -> None:
    groups = np.repeat(np.arange(20), np.arange(1, 21))
    for key in range(20):
        drawn, rest = draw(np.arange(210), 100, key, None, groups, at_least=True)
        assert not set(groups[drawn]) & set(groups[rest])
        assert 100 <= len(drawn) < 120


def test_single_rows_fill_up_what_groups_leave() -> None:
    groups = np.concatenate([np.repeat(np.arange(5), 7), np.arange(5, 70)])
    labels = (np.arange(100) >= 50).astype(np.int64)
    for key in range(20):
        drawn, _ = draw(np.arange(100), 60, key, labels, groups)
        assert len(drawn) == 60
        assert np.bincount(labels[drawn]).tolist() == [30, 30]
