"""What is suspicious about the columns: figures that look too good, said before any network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .dataset import Dataset, StudyError
from .draw import order
from .prepare import is_text, numbers

ROWS = 4_000  # that are looked at for a column that gives the target away
WRONG = 0.01  # of the majority's errors
EXPLAINED = 0.999  # of the target's variance
MIN_ERRORS = 10  # of the majority, or a rule without errors means nothing
DIFFERENT = 0.99  # of a text column's values: above it, they name the rows
_NAMED = 5  # columns that a sentence lists


def suspicions(data: Dataset) -> tuple[str, ...]:
    """Warnings for the report's first lines, a sentence each.

    A column gives the target away if a rule on it alone, fitted on half of the rows, makes less than 1 % of the
    errors that the most frequent class makes on the other half, or explains more than 0.999 of the target's variance
    there. The rules: the class at the nearest value, or of the same text; for quantities, a line from value to value.
    Numbered rows and constant columns are said, too. Images are not looked at.
    """
    if data.pixels:
        return ()
    said = [*_giveaways(data)]
    numbered = number_ids(data)
    if numbered:
        said.append(
            f"{_listed(numbered)} {_verb(numbered, 'numbers', 'number')} the rows: all values differ and are whole "
            f"numbers in order. {_verb(numbered, 'It is', 'They are')} used like any other column; remove "
            f"{_verb(numbered, 'it', 'them')} unless the order means something."
        )
    constant = [str(name) for name in data.features.columns if data.features[name].nunique(dropna=False) == 1]
    if constant:
        said.append(
            f"{_listed(constant)} {_verb(constant, 'has', 'have')} the same value in all {data.rows:,} rows and "
            f"{_verb(constant, 'tells', 'tell')} nothing."
        )
    return tuple(said)


def number_ids(data: Dataset) -> list[str]:
    """Columns of whole numbers, all different, that rise or fall with the rows or leave no gap."""
    if data.pixels:
        return []
    frame = _own_rows(data)
    found = []
    for name in frame.columns:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column) or column.isna().any():
            continue
        values = column.to_numpy(dtype=np.float64)
        if not (values == np.round(values)).all() or len(np.unique(values)) < len(values):
            continue
        steps = np.diff(values)
        if (steps > 0).all() or (steps < 0).all() or np.ptp(values) == len(values) - 1:
            found.append(str(name))
    return found


def without_text_ids(data: Dataset) -> Dataset:
    """The data without text columns that name the rows, and a note of them.

    At least 99 % of such a column's values differ from all others. Every one of them would be a rare level, so a
    network could not learn from the column.

    Raises StudyError where nothing else is there.
    """
    if data.pixels:
        return data
    frame = _own_rows(data)
    names = []
    for name in frame.columns:
        column = frame[name]
        if is_text(column) and (values := column.dropna().astype(str)).nunique() >= max(DIFFERENT * len(frame), 2):
            names.append((str(name), values.nunique()))
    if not names:
        return data
    if len(names) == data.features.shape[1]:
        raise StudyError(
            f"{data.title}: there must be a column to learn from besides {data.target!r}. "
            f"{_listed([name for name, _ in names])} only names the rows. Add columns with numbers, or with texts that "
            "recur."
        )
    notes = tuple(
        f"{name} names the rows ({count:,} different texts in {len(frame):,} rows) and was left out."
        for name, count in names
    )
    features = data.features.drop(columns=[name for name, _ in names])
    return replace(data, features=features, notes=(*data.notes, *notes))


def _own_rows(data: Dataset) -> pd.DataFrame:
    """Without the test rows of another file, where a count may start again."""
    return data.features if data.test is None else data.features.drop(index=data.features.index[data.test])


def _giveaways(data: Dataset) -> list[str]:
    rows = np.arange(data.rows) if data.test is None else np.setdiff1d(np.arange(data.rows), data.test)
    rows = rows[order(0, len(rows))[:ROWS]]
    half = len(rows) // 2
    one, two = rows[:half], rows[half:]
    found = []
    columns = {str(name): column for name, column in data.features.items()}
    plain = tuple(name for name, column in columns.items() if not is_text(column))
    matrix = dict(zip(plain, numbers(data.features, plain).T, strict=True))
    for name, column in columns.items():
        text = name not in matrix
        values = pd.factorize(column)[0] if text else matrix[name]
        if (values == values[0]).all() or (not text and np.isnan(values).all()):
            continue
        if data.task == "classification":
            usual = int((data.y[two] != np.bincount(data.y[one]).argmax()).sum())
            if usual < MIN_ERRORS:
                return []
            wrong = int((_class_rule(values, data.y, one, two, text) != data.y[two]).sum())
            if wrong < WRONG * usual:
                found.append(
                    f"{name} alone gives {data.target} away: a rule on this column, fitted on {len(one):,} rows, is "
                    f"wrong on {wrong} of {len(two):,} others, where the most frequent class is wrong on {usual:,}. "
                    "Is it known when a prediction is made?"
                )
        else:
            target = data.y[two]
            spread = float(np.square(target - target.mean()).sum())
            left = float(np.square(target - _value_rule(values, data.y, one, two)).sum())
            if left < (1 - EXPLAINED) * spread:
                share = np.floor(1e6 * (1 - left / spread)) / 1e6
                found.append(
                    f"{name} alone gives {data.target} away: a curve through this column, fitted on {len(one):,} rows, "
                    f"explains {share:.6g} of the variance of {len(two):,} others. Is it known when a prediction is "
                    "made?"
                )
    return found


def _class_rule(
    values: NDArray[Any], y: NDArray[Any], one: NDArray[np.int64], two: NDArray[np.int64], text: bool
) -> NDArray[np.int64]:
    """Classes of the rows `two`: the most frequent at the nearest value of the rows `one`, for text at the same."""
    known, codes = np.unique(values[one].astype(np.float64), return_inverse=True)
    counts = np.zeros((len(known), int(y.max()) + 1), dtype=np.int64)
    np.add.at(counts, (codes, y[one]), 1)
    best, asked = counts.argmax(axis=1), values[two].astype(np.float64)
    filled = known[~np.isnan(known)]  # a missing value comes last
    unknown = np.isnan(asked) if len(filled) == len(known) else np.zeros(len(asked), dtype=bool)
    if len(filled):
        right = np.searchsorted(filled, asked).clip(1, max(len(filled) - 1, 1)).clip(max=len(filled) - 1)
        left = (right - 1).clip(0)
        nearest = np.where(asked - filled[left] <= filled[right] - asked, left, right)
        if text:
            unknown = filled[nearest] != asked
        nearest = np.where(np.isnan(asked), len(known) - 1, nearest)
    else:
        nearest = np.zeros(len(asked), dtype=np.int64)
        unknown = ~np.isnan(asked)
    usual = np.bincount(y[one]).argmax()
    return np.where(unknown, usual, best[nearest])


def _value_rule(
    values: NDArray[Any], y: NDArray[Any], one: NDArray[np.int64], two: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Targets of the rows `two`: between the means at the neighbouring values of the rows `one`."""
    means = pd.Series(y[one]).groupby(values[one]).mean()  # leaves missing values out
    if len(means) < 2:
        return np.full(len(two), y[one].mean())
    known = np.interp(values[two], means.index.to_numpy(dtype=np.float64), means.to_numpy())
    return np.asarray(np.where(np.isnan(np.asarray(values[two], dtype=np.float64)), y[one].mean(), known))


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _verb(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
