"""What is suspicious about the columns: figures that look too good, said before any network is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .dataset import Dataset, StudyError
from .draw import order
from .prepare import MAX_LEVELS, is_text, numbers
from .stand_ins import stand_ins

ROWS = 4_000  # that are looked at for a column that gives the target away
WRONG = 0.01  # of the majority's errors
EXPLAINED = 0.999  # of the target's variance
MIN_ERRORS = 10  # of the majority, or a rule without errors means nothing
DIFFERENT = 0.99  # of a text column's values: above it, they name the rows
RARE = 0.9  # of a text column's values: above it, a network sees nearly all of them as one
_NAMED = 5  # columns that a sentence lists
_ID = re.compile(
    r"(.*[_\W])?(id|ids|uuid|guid|index|idx|key|row|rownum|nr|no|num|number|record|serial|lfd)[\W_]*"
    r"|Unnamed: \d+|__index_level_\d+__",
    re.IGNORECASE,
)
_CAMEL_ID = re.compile(r".*[a-z](ID|Id|No|Nr|Index|Key)")


def suspicions(data: Dataset) -> tuple[str, ...]:
    """Warnings for the report's first lines, a sentence each.

    A column gives the target away if a rule on it alone, fitted on half of the rows, makes less than 1 % of the
    errors that the most frequent class makes on the other half, or explains more than 0.999 of the target's variance
    there. The rules: the class at the nearest value, or of the same text; for quantities, a line from value to value.
    Numbered rows, constant columns, columns of rare texts and numbers that may stand for a gap are said, too. Images
    and running texts are not looked at.
    """
    if data.pixels or data.stretch:
        return data.warnings
    said = [*data.warnings, *_giveaways(data), *_rare(data), *stand_ins(_own_rows(data))]
    numbered = number_ids(data)
    if numbered:
        said.append(
            f"{_listed(numbered)} {_verb(numbered, 'numbers', 'number')} the rows: all values differ and are whole "
            f"numbers in order. {_verb(numbered, 'It is', 'They are')} used like any other column; leave "
            f"{_verb(numbered, 'it', 'them')} out with --column {numbered[0]}=ignore unless the order means something."
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
        if _asked(data, str(name)) or name == data.words or not is_text(column):
            continue
        if (values := column.dropna().astype(str)).nunique() >= max(DIFFERENT * len(frame), 2):
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
    return _without(data, {name: f"it names the rows, {count:,} different texts" for name, count in names}, notes)


def without_row_numbers(data: Dataset) -> Dataset:
    """The data without columns that are called an id or the like and hold whole numbers, all different; and a note.

    Raises StudyError where nothing else is there.
    """
    if data.pixels:
        return data
    frame = _own_rows(data)
    names = [
        name
        for name in map(str, frame.columns)
        if (_ID.fullmatch(name) or _CAMEL_ID.fullmatch(name)) and not _asked(data, name) and _all_different(frame[name])
    ]
    if not names:
        return data
    notes = (
        f"{_listed(names)} {_verb(names, 'numbers', 'number')} the rows and {_verb(names, 'was', 'were')} left out. "
        f"--column {names[0]}=number keeps it.",
    )
    return _without(data, dict.fromkeys(names, "it numbers the rows: whole numbers, all different"), notes)


def without_constants(data: Dataset) -> Dataset:
    """The data without columns that have one value in all rows, and a note of them.

    Raises StudyError where nothing else is there.
    """
    if data.pixels:
        return data
    frame = _own_rows(data)
    names = [str(name) for name in frame.columns if frame[name].nunique(dropna=False) == 1]
    if not names:
        return data
    notes = (
        f"{_listed(names)} {_verb(names, 'has', 'have')} the same value in all {len(frame):,} rows and "
        f"{_verb(names, 'was', 'were')} left out.",
    )
    why = {name: f"one value in all rows: {_shown(frame[name].iloc[0])}" for name in names}
    return _without(data, why, notes)


def _without(data: Dataset, why: Mapping[str, str], notes: Sequence[str]) -> Dataset:
    if len(why) == data.features.shape[1]:
        names = list(why)
        raise StudyError(
            f"{data.title}: there must be a column to learn from besides {data.target!r}. {_listed(names)}: "
            f"{why[names[0]]}. Add columns, or pass --column NAME=KIND for one that was taken for something else."
        )
    columns = tuple(
        replace(column, kind="left out", why=why[column.name]) if column.name in why else column
        for column in data.columns
    )
    features = data.features.drop(columns=list(why))
    return replace(data, features=features, columns=columns, notes=(*data.notes, *notes))


def _asked(data: Dataset, name: str) -> bool:
    """Whether the caller has said what the column is."""
    return any(column.name == name and column.asked for column in data.columns)


def _all_different(column: pd.Series[Any]) -> bool:
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column) or column.isna().any():
        return False
    values = column.to_numpy(dtype=np.float64)
    return bool((values == np.round(values)).all() and len(np.unique(values)) == len(values))


def _shown(value: Any) -> str:
    return "none" if pd.isna(value) else repr(value) if isinstance(value, str) else f"{value}"


def _rare(data: Dataset) -> list[str]:
    """Text columns of which a network sees nearly nothing: the levels that have an input of their own hold few rows."""
    found = []
    for name, column in _own_rows(data).items():
        if not is_text(column) or name == data.words:
            continue
        counts = column.dropna().value_counts().to_numpy()
        rare = 1 - counts[:MAX_LEVELS][counts[:MAX_LEVELS] > 1].sum() / counts.sum()
        if rare > RARE:
            found.append(
                f"{name} is text with {len(counts):,} different values, {100 * rare:.0f} % of them rare: a network "
                f"sees nearly all as one. Leave it out with --column {name}=ignore, or write what matters in it as "
                "columns of their own."
            )
    return found


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
