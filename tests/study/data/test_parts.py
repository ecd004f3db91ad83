"""Which rows are for what."""

from dataclasses import replace

import numpy as np
import pytest

from thinned.study.data.dataset import Dataset, StudyError, images
from thinned.study.data.parts import SeedRows, Sizes, notes, parts, sizes

from .tables import Name, dataset

SEEDS = 12


def drawn(data: Dataset, seed: int = 0, train_rows: int | None = None) -> tuple[Sizes, list[SeedRows]]:
    size = sizes(data, train_rows, seed)
    return size, [parts(data, size, seed, index) for index in range(SEEDS)]


def grouped(name: Name, groups: int) -> Dataset:
    """Groups of unequal sizes, of neighbouring rows."""
    data = dataset(name)
    ends = np.sort(np.random.RandomState(3).choice(np.arange(1, data.rows), groups - 1, replace=False))
    return replace(data, groups=np.searchsorted(ends, np.arange(data.rows), side="right"))


def in_time(name: Name) -> Dataset:
    data = dataset(name)
    return replace(data, time=np.random.RandomState(5).permutation(data.rows).astype(np.float64))


def told_apart(data: Dataset) -> None:
    """No row is in two parts, no group on two sides, every seed has the same numbers of rows."""
    size, found = drawn(data)
    for index, part in enumerate(found):
        assert (len(part.train), len(part.val)) == (size.train, size.val)
        assert part.outer == index % size.outer
        every = np.concatenate([part.train, part.val, part.test])
        assert len(np.unique(every)) == len(every)
        assert 0 <= every.min() <= every.max() < data.rows
        if data.groups is not None:
            sides = [set(data.groups[rows].tolist()) for rows in (part.train, part.val, part.test)]
            assert sum(map(len, sides)) == len(set().union(*sides))


@pytest.mark.long
@pytest.mark.parametrize(
    "data",
    [
        *(dataset(name) for name in ("wine", "diabetes", "iris", "breast_cancer", "digits")),
        *(grouped(name, groups) for name in ("wine", "diabetes", "digits") for groups in (12, 60)),
        in_time("diabetes"),
        in_time("breast_cancer"),
    ],
    ids=lambda data: (
        f"{data.title}-{'groups' if data.groups is not None else 'time' if data.time is not None else 'rows'}"
    ),
)
def test_parts_are_told_apart_and_equal_in_size(data: Dataset) -> None:
    told_apart(data)


def test_a_small_table_is_tested_on_whole_and_the_rest_is_shared_out_55_to_20() -> None:
    data = dataset("wine")
    size, found = drawn(data)
    assert size == Sizes(train=98, val=35, test=178, outer=4)  # 133 rows lie outside the largest fold of 45
    folds = [part.test for part in found[:4]]
    assert sorted(np.concatenate(folds).tolist()) == list(range(178))
    assert sorted(map(len, folds)) == [44, 44, 45, 45]
    for index, part in enumerate(found):
        assert np.array_equal(part.test, folds[index % 4])


@pytest.mark.parametrize("name", ["wine", "iris", "breast_cancer", "digits"])
def test_classes_keep_their_shares(name: Name) -> None:
    data = dataset(name)
    shares = np.bincount(data.y) / data.rows
    for part in drawn(data)[1]:
        for rows in (part.train, part.val, part.test):
            # A draw rounds by less than one row a class; a draw from what another left adds the other's rounding.
            assert np.abs(np.bincount(data.y[rows], minlength=len(shares)) - shares * len(rows)).max() <= 2.5


def test_larger_tables_have_one_test_set_and_seeds_draw_other_rows() -> None:
    data = dataset("breast_cancer")
    size, found = drawn(data)
    assert size == Sizes(train=313, val=114, test=142)
    assert all(np.array_equal(part.test, found[0].test) for part in found)
    assert len({part.train.tobytes() for part in found}) == len({part.val.tobytes() for part in found}) == SEEDS
    # Two draws of 313 among 427: the overlap is hypergeometric, of mean 229.4 and deviation 4.0.
    for other in found[1:]:
        assert abs(len(np.intersect1d(found[0].train, other.train)) - 229.4) < 5 * 4.0


def test_a_draw_depends_on_the_seed_and_its_index_alone() -> None:
    data = dataset("digits")
    size = sizes(data)
    alone = parts(data, size, 7, 5)
    again = drawn(data, seed=7)[1][5]
    assert all(np.array_equal(getattr(alone, name), getattr(again, name)) for name in ("train", "val", "test"))
    assert not np.array_equal(alone.test, parts(data, size, 8, 5).test)
    # The rows themselves: they are part of what a study's seed means.
    assert alone.train[:5].tolist() == TRAIN


TRAIN = [0, 1, 2, 4, 5]


def test_the_authors_test_rows_are_kept_and_train_rows_asked_for_are_given() -> None:
    data = images("t", "s", np.zeros((3000, 4), np.uint8), np.arange(3000) % 10, test=np.arange(2500, 3000))
    size = sizes(data)
    assert size == Sizes(1000, 1000, 500)
    for index in range(3):
        part = parts(data, size, 0, index)
        assert part.test.tolist() == list(range(2500, 3000))
        assert max(*part.train, *part.val) < 2500
    plain = replace(data, test=None)
    assert sizes(plain) == Sizes(1000, 666, 1334)
    assert sizes(plain, 500) == Sizes(500, 500, 2000)
    assert sizes(dataset("wine"), 60) == Sizes(60, 35, 178, 4)


@pytest.mark.parametrize("rows", [3, 168, 178])
def test_impossible_numbers_of_training_rows_are_refused(rows: int) -> None:
    with pytest.raises(StudyError, match="--train-rows"):
        sizes(dataset("wine"), rows)


def test_rows_that_share_a_group_with_a_test_row_are_not_trained_on() -> None:
    data = dataset("digits")
    groups = np.arange(data.rows)
    groups[:100] = groups[-100:]
    data = replace(data, test=np.arange(data.rows - 400, data.rows), groups=groups)
    told_apart(data)
    size, found = drawn(data)
    assert min(min(part.train.min(), part.val.min()) for part in found) >= 100
    assert notes(data, size) == ("100 rows share a group or all features with a test row and are not trained on.",)


def test_a_few_copies_cost_no_rows() -> None:
    data = dataset("breast_cancer")
    groups = np.arange(data.rows)
    groups[1:60:2] = groups[0:60:2]
    assert sizes(replace(data, groups=groups)) == sizes(data)
    told_apart(replace(data, groups=groups))


@pytest.mark.long
def test_unequal_groups_leave_some_rows_out_and_it_is_said() -> None:
    data = grouped("digits", 60)
    size = sizes(data)
    assert size.outer == 1
    (note,) = notes(data, size)
    lost = data.rows - size.train - size.val - size.test
    assert f"about {lost} of 1,797 rows are left out in each" in note


def test_time_runs_from_training_to_test_rows() -> None:
    data = in_time("diabetes")
    assert data.time is not None
    size, found = drawn(data)
    assert size == Sizes(train=218, val=89, test=110)  # nine tenths of the 243 rows before the validation rows
    for part in found:
        assert data.time[part.train].max() < data.time[part.val].min() <= data.time[part.val].max()
        assert data.time[part.val].max() < data.time[part.test].min()
        assert np.array_equal(part.val, found[0].val)
    assert len({part.train.tobytes() for part in found}) == SEEDS
    assert "110 latest rows are tested on, the 89 before them" in notes(data, size)[0]


def test_equal_times_stay_on_one_side() -> None:
    data = dataset("diabetes")
    data = replace(data, time=(np.arange(data.rows) // 50).astype(np.float64))
    told_apart(data)
    for part in drawn(data)[1]:
        sides = [set((rows // 50).tolist()) for rows in (part.train, part.val, part.test)]
        assert sum(map(len, sides)) == len(set().union(*sides))


def test_too_few_groups_or_times_are_refused() -> None:
    data = dataset("breast_cancer")
    with pytest.raises(StudyError, match=r"`--groups`: there must be at least 4 groups.* Got 3"):
        sizes(replace(data, groups=np.arange(data.rows) % 3))
    with pytest.raises(StudyError, match="`--groups`: each side of a cut must have rows enough"):
        sizes(replace(data, groups=np.maximum(np.arange(data.rows) - 560, 0)))
    with pytest.raises(StudyError, match=r"`--time`: there must be at least three points in time. Got 2"):
        sizes(replace(data, time=(np.arange(data.rows) > 300).astype(np.float64)))
