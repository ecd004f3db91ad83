"""Rows that stand twice: copies, which must not lie on both sides of a cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .dataset import Dataset
from .words import words_of

CHANCE = 0.1  # of the equal pairs, explained by columns of few values: above it they are no copies
LARGEST = 0.05  # of all rows: more equal ones are a common case, no copies
SHORT = 8  # words: longer texts do not come about twice


def twins_together(data: Dataset, ids: tuple[str, ...] = ()) -> Dataset:
    """The data with equal rows in one group each, joined with the groups that are there, and notes that say so.

    Equal means equal in every feature, whatever the target. Where columns have few values, rows of different origin
    are equal by chance, and new rows will be, too: such rows are left apart. Chance is what independent columns give,
    `n (n - 1) / 2` times the product of the columns' probabilities that two rows agree; above a tenth of the pairs that
    are found, or with one row in twenty alike, rows are left apart. Texts of more than eight words are never equal by
    chance.

    Arguments:
        ids: columns that number or name the rows, which do not count.
    """
    codes = _equal(data, ids)
    counts = np.bincount(codes)
    copies = counts[codes] > 1
    if not copies.any():
        return data
    notes: list[str] = []
    twin = f"{int(copies.sum()):,} of {data.rows:,} rows are equal to another in every feature"
    apart = counts.max() > max(LARGEST * data.rows, 2) or _by_chance(data, ids) > CHANCE * float(
        (counts * (counts - 1) / 2).sum()
    )
    if apart:
        notes.append(
            f"{twin}; with such columns that comes by chance, so it is no sign of copies, and they stand as they are."
        )
    elif data.time is not None:
        notes.append(f"{twin}; they stay where their time puts them.")
    else:
        notes.append(f"{twin}; such rows are kept on one side of every cut.")
    split = _at_odds(data, codes)
    if split:
        what = "classes" if data.task == "classification" else f"values of {data.target}"
        notes.append(f"{split:,} of these rows have twins with other {what}: no model can be right about all of them.")
    groups = data.groups
    if not apart and data.time is None:
        groups = codes if groups is None else _joined(groups, codes)
    return replace(data, groups=groups, notes=(*data.notes, *notes))


def _equal(data: Dataset, ids: tuple[str, ...]) -> NDArray[np.int64]:
    """A number for every row, the same for equal rows."""
    if data.pixels:
        pixels = np.ascontiguousarray(data.features.to_numpy())
        return np.asarray(pd.factorize(pd.Series([row.tobytes() for row in pixels]))[0], dtype=np.int64)
    features = data.features.drop(columns=list(ids))
    if features.shape[1] == 0:
        return np.arange(data.rows)
    # Codes a column, not values: 1 and 1.0 are one value, and so are all missing ones.
    digits = pd.DataFrame({i: pd.factorize(features.iloc[:, i])[0] for i in range(features.shape[1])})
    return np.asarray(pd.factorize(pd.util.hash_pandas_object(digits, index=False))[0], dtype=np.int64)


def _by_chance(data: Dataset, ids: tuple[str, ...]) -> float:
    """How many pairs of rows would be equal if the columns were independent."""
    pairs = data.rows * (data.rows - 1) / 2
    for name in data.features.columns.difference(list(ids)):
        found = data.features[name].value_counts(dropna=False)
        if name == data.words:
            short = [len(words_of(text if isinstance(text, str) else None)) <= SHORT for text in found.index]
            found = found[np.array(short) & (found.to_numpy() > 1)]
        pairs *= float(np.square(found.to_numpy(dtype=np.float64) / data.rows).sum())
        if pairs < 1e-6:
            break
    return pairs


def _at_odds(data: Dataset, codes: NDArray[np.int64]) -> int:
    """Rows whose equals do not all have one target."""
    targets = pd.Series(data.y).groupby(codes).transform("nunique")
    return int((targets > 1).sum())


def _joined(groups: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups that are joined wherever they share a twin."""
    codes = codes + groups.max() + 1
    edges = coo_array((np.ones(len(codes)), (groups, codes)), shape=(codes.max() + 1,) * 2)
    found = connected_components(edges, directed=False)[1]
    return np.unique(found[groups], return_inverse=True)[1].astype(np.int64)
