"""Which rows are for what: one test set for the whole study; for each seed, training and validation rows of the rest.

The draw depends on the seed alone, never on p or the learning rate, so trials of one seed are paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from ..noise import fold_in
from .dataset import Dataset, StudyError

IMAGE_TRAIN_ROWS = 1000  # few enough that an MLP overfits visibly
MAX_TRAIN_ROWS = 10_000
MAX_VAL_ROWS = 5_000
MAX_TEST_ROWS = 10_000
_TEST = 2**64 - 1  # the child key of the test set; seeds count up from 0


@dataclass(frozen=True)
class Sizes:
    """How many rows each part gets."""

    train: int
    val: int
    test: int


@dataclass(frozen=True)
class SeedRows:
    """Row numbers of one seed's training and validation sets."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]


def sizes(data: Dataset, train_rows: int | None = None) -> Sizes:
    """How many rows each part gets. Tables: 55 % training, 20 % validation, 25 % test, with caps.

    With `train_rows` given, and for images, where it is 1,000: that many, as many validation rows (at most 1,000 and a
    third of the rest), and what is left as test rows.

    Raises StudyError where the data have not enough rows for that.
    """
    wanted = train_rows if train_rows is not None else IMAGE_TRAIN_ROWS if data.pixels else None
    pool = data.rows - (0 if data.test is None else len(data.test))
    if wanted is None:
        test = min(data.rows // 4, MAX_TEST_ROWS)
        val = min(data.rows // 5, MAX_VAL_ROWS)
        return Sizes(min(data.rows - test - val, MAX_TRAIN_ROWS), val, test)
    classes = max(len(data.classes), 1)
    val = min(wanted, 1000, (pool - wanted) // (1 if data.test is not None else 3))
    test = len(data.test) if data.test is not None else min(pool - wanted - val, MAX_TEST_ROWS)
    if wanted < 2 * classes or val < max(classes, 5) or test < max(classes, 5):
        raise StudyError(
            f"`--train-rows`: {wanted} of {pool} rows must leave enough to choose and to test on, and be at least two "
            f"a class. It would leave {max(val, 0)} validation and {max(test, 0)} test rows. Pass another number."
        )
    return Sizes(wanted, val, test)


def test_rows(data: Dataset, size: Sizes, seed: int) -> NDArray[np.int64]:
    """The one test set, which no choice sees: the authors' own, or a draw that keeps the classes' shares."""
    if data.test is not None:
        return data.test
    return np.sort(_draw(data, np.arange(data.rows), size.test, fold_in(seed, _TEST))[0])


def rows(data: Dataset, size: Sizes, test: NDArray[np.int64], seed: int, index: int) -> SeedRows:
    """Training and validation rows of trial seed `index`, from the rows that are not test rows."""
    pool = np.setdiff1d(np.arange(data.rows), test)
    key = fold_in(seed, index)
    train, rest = _draw(data, pool, size.train, key)
    val = rest if len(rest) == size.val else _draw(data, rest, size.val, key)[0]
    return SeedRows(train, val)


def _draw(data: Dataset, among: NDArray[np.int64], count: int, key: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`count` rows and the others; with the classes' shares where every class has rows for both."""
    state = fold_in(key, 0) % 2**32
    stratify = None
    if data.task == "classification":
        labels = data.y[among]
        enough = np.unique(labels, return_counts=True)[1].min() >= 2
        stratify = labels if enough and min(count, len(among) - count) >= len(data.classes) else None
    drawn, rest = train_test_split(among, train_size=count, random_state=state, stratify=stratify)
    return drawn, rest
