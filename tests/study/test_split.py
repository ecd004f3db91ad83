"""Which rows are for what."""

import numpy as np
import pandas as pd
import pytest

from thinned.study import split
from thinned.study.dataset import Dataset, StudyError, images


def data(rows: int = 200) -> Dataset:
    y = np.arange(rows) % 4
    return Dataset("t", "s", "classification", "y", pd.DataFrame({"x": np.arange(rows)}), y, ("a", "b", "c", "d"))


def test_parts_are_disjoint_and_of_the_size_asked_for() -> None:
    size = split.sizes(data())
    assert size == split.Sizes(110, 40, 50)
    test = split.test_rows(data(), size, seed=3)
    for index in range(4):
        rows = split.rows(data(), size, test, seed=3, index=index)
        assert (len(rows.train), len(rows.val), len(test)) == (110, 40, 50)
        assert len({*rows.train, *rows.val, *test}) == 200


def test_classes_keep_their_shares() -> None:
    size = split.sizes(data())
    test = split.test_rows(data(), size, seed=0)
    assert (
        np.bincount(data().y[test]).tolist() in ([13, 13, 12, 12], [12, 12, 13, 13])
        or np.ptp(np.bincount(data().y[test])) <= 1
    )
    assert np.ptp(np.bincount(data().y[split.rows(data(), size, test, 0, 0).train])) <= 1


def test_the_test_set_is_one_for_all_seeds_and_training_rows_differ() -> None:
    size = split.sizes(data())
    test = split.test_rows(data(), size, seed=0)
    assert np.array_equal(test, split.test_rows(data(), size, seed=0))
    assert not np.array_equal(test, split.test_rows(data(), size, seed=1))
    one, two = (set(split.rows(data(), size, test, 0, index).train) for index in (0, 1))
    assert one != two


def test_the_authors_test_set_is_kept() -> None:
    pixels = np.zeros((3000, 4), np.uint8)
    found = images("t", "s", pixels, np.arange(3000) % 10, test=np.arange(2500, 3000))
    size = split.sizes(found)
    assert size == split.Sizes(1000, 1000, 500)
    assert split.test_rows(found, size, 0).tolist() == list(range(2500, 3000))
    rows = split.rows(found, size, split.test_rows(found, size, 0), 0, 0)
    assert max(*rows.train, *rows.val) < 2500


@pytest.mark.parametrize("rows", [3, 197, 500])
def test_impossible_numbers_of_training_rows_are_refused(rows: int) -> None:
    with pytest.raises(StudyError, match="--train-rows"):
        split.sizes(data(), rows)
