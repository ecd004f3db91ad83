"""Which rows are for what: training, validation and test rows of every seed.

A draw depends on the study's seed and the seed's index alone, never on p or the learning rate: runs of one index are
paired. Small tables have outer folds, so that every row is a test row once: seed index s belongs to fold s mod K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...noise import fold_in
from .dataset import Dataset, StudyError
from .draw import draw, order
from .running_text import parts_note

FOLDS = 4  # outer folds of a small table
SMALL = 500  # rows; a table of as many or more has one test set
IMAGE_TRAIN_ROWS = 1000  # few enough that an MLP overfits visibly
FEW_IMAGES = 1200  # below it, images are divided as a table is
OF_BEARABLE = 1.5  # times the training rows that a slow network has: fewer rows are divided as a table is
MAX_TRAIN_ROWS = 10_000
MAX_VAL_ROWS = 5_000
MAX_TEST_ROWS = 10_000
VAL_SHARE = 20 / 75  # of the rows that are not tested on
TIME_SHARE = 0.9  # of the training rows that each seed draws, where time decides the rest
MIN_GROUPS = 4
_TEST = 2**64 - 1  # the child key of the test rows; seeds count up from 0
_TRAIN, _VAL, _TRIM = range(3)
_LOOKS, _ATTEMPTS = 64, 200  # draws of groups: to see what they reach, and until one reaches it

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """How many rows each part gets: `train` and `val` in every seed alike, `test` over all `outer` folds together."""

    train: int
    val: int
    test: int
    outer: int = 1


@dataclass(frozen=True)
class SeedRows:
    """Row numbers of one seed. `outer` says which fold is its test set."""

    train: Rows
    val: Rows
    test: Rows
    outer: int = 0


def sizes(data: Dataset, train_rows: int | None = None, seed: int = 0, bearable: int | None = None) -> Sizes:
    """How many rows each part gets.

    Tables under 500 rows: four outer folds; of the rows outside a fold, 55/75 for training and 20/75 for validation.
    Larger ones: one test set, 55 % / 20 % / 25 %, with caps. With `train_rows` given, and for images, where it is
    1,000: that many, as many validation rows (at most 1,000 and a third of the rest), and what is left as test rows.

    Groups are drawn whole, so that a draw may bring too many rows; rows in excess are not used. `train` and `val` are
    numbers that three in four draws reach; the others are drawn anew.

    Arguments:
        train_rows: how many rows to train on.
        seed: the study's. Which groups are tested on depends on it, and so does how many rows are left.
        bearable: training rows that a network can bear, where `train_rows` does not say.

    Raises StudyError where the data have not enough rows, groups or points in time for that.
    """
    _check_groups(data)
    if data.time is not None:
        earlier, late, latest = _eras(data)
        most = min(int(TIME_SHARE * len(earlier)), MAX_TRAIN_ROWS)
        asked = train_rows or (bearable if data.stretch else None) or most
        return _enough(data, Sizes(min(asked, most), len(late), len(latest)), len(earlier), train_rows)
    outer = _outer(data)
    own = data.rows - (0 if data.test is None else len(data.test))
    few = own < FEW_IMAGES
    wanted = train_rows if train_rows is not None else IMAGE_TRAIN_ROWS if data.pixels and not few else None
    if wanted is None and bearable is not None and own - data.rows // 4 > OF_BEARABLE * bearable:
        wanted = bearable
    if wanted is None or outer > 1:
        tests = _tests(data, min(data.rows // 4, MAX_TEST_ROWS), outer, seed)
        pool = min(len(_pool(data, test)) for test in tests)
        val = min(round(pool * VAL_SHARE), MAX_VAL_ROWS)
        train = min(pool - val, MAX_TRAIN_ROWS)
        if wanted is not None:
            val = min(val, wanted, 1000, pool - wanted)
            train = wanted
    else:
        there = data.rows if data.test is None else len(_pool(data, data.test))
        val = min(wanted, 1000, (there - wanted) // (1 if data.test is not None else 3))
        tests = _tests(data, min(there - wanted - val, MAX_TEST_ROWS), 1, seed) if there - wanted > val > 0 else []
        pool = len(_pool(data, tests[0])) if tests else max(there - wanted, 0)
        train = wanted
    if _uneven(data):
        reached = [_reached(data, _pool(data, test), outer, fold, seed) for fold, test in enumerate(tests)]
        train, val = (min(most, *found) for most, found in zip((train, val), zip(*reached, strict=True), strict=True))
    return _enough(data, Sizes(train, min(val, pool - train), sum(map(len, tests)), outer), pool, train_rows)


def parts(data: Dataset, size: Sizes, seed: int, index: int) -> SeedRows:
    """The rows of seed number `index` of a study with this `seed`; `size` is what `sizes` says of both."""
    key = fold_in(seed, index)
    outer = index % size.outer
    if data.time is not None:
        earlier, val, test = _eras(data)
        return SeedRows(draw(earlier, size.train, fold_in(key, _TRAIN), _labels(data))[0], val, test)
    test = _tests(data, size.test, size.outer, seed)[outer]
    pool = _pool(data, test)
    for attempt in range(_ATTEMPTS if _uneven(data) else 1):
        train, val = _sides(data, pool, size.train, fold_in(fold_in(key, _TRAIN), attempt))
        if len(train) >= size.train and len(val) >= size.val:
            break
    else:
        raise StudyError(
            f"`parts`: `size` must be what `sizes` gives for these data and this seed. Got {size}, and a draw has "
            f"{len(train)} training and {len(val)} validation rows. Pass sizes(data, train_rows, seed)."
        )
    if len(val) > size.val and not _uneven(data):
        val = draw(val, size.val, fold_in(key, _VAL), _labels(data), data.groups)[0]
    return SeedRows(_trimmed(train, size.train, key), _trimmed(val, size.val, key), test, outer)


def notes(data: Dataset, size: Sizes) -> tuple[str, ...]:
    """What a reader must know of the cuts, a sentence each."""
    said = []
    if size.outer > 1:
        said.append(
            f"The table is small, so every row is a test row once: {size.outer} outer folds, each tested on by a "
            "quarter of the seeds, and every choice is made within its fold."
        )
    if data.stretch:
        said.append(parts_note(size.train, size.val, size.test, data.stretch))
    elif data.time is not None:
        said.append(
            f"The {size.test:,} latest rows are tested on, the {size.val:,} before them are for validation, and each "
            f"seed draws {size.train:,} of the earlier ones."
        )
    elif data.groups is not None and data.test is not None:
        lost = data.rows - len(data.test) - len(_pool(data, data.test))
        if lost:
            said.append(f"{lost:,} rows share a group or all features with a test row and are not trained on.")
    elif _uneven(data):
        pool = data.rows - size.test // size.outer
        lost = pool - size.train - size.val
        if lost > 0 and size.train < MAX_TRAIN_ROWS and size.val < MAX_VAL_ROWS:
            said.append(
                f"Groups are kept whole and every seed has equally many rows, so about {lost:,} of {data.rows:,} rows "
                "are left out in each, other ones every time."
            )
    return tuple(said)


def _labels(data: Dataset) -> Rows | None:
    return data.y.astype(np.int64) if data.task == "classification" and not data.stretch else None


def _outer(data: Dataset) -> int:
    """How many outer folds."""
    if data.rows >= SMALL or data.pixels or data.test is not None or data.time is not None:
        return 1
    few = data.groups is not None and len(np.unique(data.groups)) < 2 * FOLDS
    return 1 if few else FOLDS


def _tests(data: Dataset, count: int, outer: int, seed: int) -> list[Rows]:
    """The test rows of every outer fold, which no choice of that fold sees."""
    if data.test is not None:
        return [data.test]
    key, rest, found = fold_in(seed, _TEST), np.arange(data.rows), []
    if outer == 1:
        return [_trimmed(draw(rest, count, key, _labels(data), data.groups, at_least=True)[0], count, key)]
    for fold in range(outer - 1):
        test, rest = draw(rest, len(rest) // (outer - fold), fold_in(key, fold), _labels(data), data.groups)
        found.append(test)
    return [*found, rest]


def _pool(data: Dataset, test: Rows) -> Rows:
    """Rows to learn from: no test row, and none of a test row's group."""
    free = np.ones(data.rows, dtype=bool)
    free[test] = False
    if data.groups is not None:
        free &= ~np.isin(data.groups, data.groups[test])
    return np.flatnonzero(free)


def _uneven(data: Dataset) -> bool:
    """Whether groups decide how many rows a draw has; a majority of single rows fills up to any number."""
    if data.groups is None:
        return False
    counts = np.bincount(data.groups)
    return bool((counts == 1).sum() <= data.rows / 2 or counts.max() >= data.rows / 20)


def _sides(data: Dataset, pool: Rows, train: int, key: int) -> tuple[Rows, Rows]:
    """Rows to train and to validate on: `train` and the others, or by whole groups about 55 to 20."""
    count = len(pool) - round(len(pool) * VAL_SHARE) if _uneven(data) else train
    return draw(pool, count, key, _labels(data), data.groups)


def _reached(data: Dataset, pool: Rows, outer: int, fold: int, seed: int) -> tuple[int, int]:
    """Training and validation rows that three in four draws of whole groups reach; the others are drawn anew."""
    keys = [fold_in(fold_in(fold_in(seed, index), _TRAIN), 0) for index in range(fold, _LOOKS, outer)]
    found = [tuple(map(len, _sides(data, pool, 0, key))) for key in keys]
    train, val = (int(np.quantile(side, 0.25, method="lower")) for side in zip(*found, strict=True))
    return train, val


def _trimmed(rows: Rows, count: int, key: int) -> Rows:
    return rows if len(rows) <= count else np.sort(rows[order(fold_in(key, _TRIM), len(rows))[:count]])


def _eras(data: Dataset) -> tuple[Rows, Rows, Rows]:
    """Rows by time: the earlier ones, the later ones for validation, the latest quarter. Equal times stay together."""
    assert data.time is not None
    by_time = np.argsort(data.time, kind="stable")
    starts = np.flatnonzero(np.diff(data.time[by_time])) + 1  # where a new time begins

    def nearest(place: int, end: int) -> int:
        fitting = starts[starts < end]
        if len(fitting) == 0:
            raise StudyError(
                f"`--time`: there must be at least three points in time. Got {len(starts) + 1} in {data.rows} rows. "
                "Name a column that tells when each row was seen."
            )
        return int(fitting[np.abs(fitting - place).argmin()])

    end = nearest(data.rows - min(data.rows // 4, MAX_TEST_ROWS), data.rows)
    if end == starts[0]:
        end = int(starts[min(1, len(starts) - 1)])  # leave two times to train and to validate on
    cut = nearest(end - min(round(end * VAL_SHARE), MAX_VAL_ROWS), end)
    return np.sort(by_time[:cut]), np.sort(by_time[cut:end]), np.sort(by_time[end:])


def _check_groups(data: Dataset) -> None:
    if data.groups is not None and (number := len(np.unique(data.groups))) < MIN_GROUPS:
        raise StudyError(
            f"`--groups`: there must be at least {MIN_GROUPS} groups, to train, choose and test on different ones. "
            f"Got {number}. Name another column, or leave it out."
        )


def _enough(data: Dataset, size: Sizes, pool: int, train_rows: int | None) -> Sizes:
    classes = 1 if data.stretch else max(len(data.classes), 1)  # every word of a window is a class in training
    if size.train >= 2 * classes and size.val >= max(classes, 5) and size.test >= max(classes, 5):
        return size
    left = f"It would leave {max(size.val, 0)} validation and {max(size.test, 0)} test rows"
    if train_rows is not None or (data.groups is None and data.time is None):
        wanted = size.train if train_rows is None else train_rows
        raise StudyError(
            f"`--train-rows`: {wanted} of {pool} rows must leave enough to choose and to test on, and be at least two "
            f"a class. {left}. Pass another number."
        )
    option = "--groups" if data.time is None else "--time"
    raise StudyError(
        f"`{option}`: each side of a cut must have rows enough. There would be {max(size.train, 0)} training, "
        f"{max(size.val, 0)} validation and {max(size.test, 0)} test rows. Name a column that divides the rows "
        "more evenly."
    )
