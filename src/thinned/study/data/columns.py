"""Columns that say how to cut, not what to learn from: groups, time; and test rows from another file."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .dataset import Dataset, StudyError


def with_groups(data: Dataset, name: str) -> Dataset:
    """Rows of one value of the column `name` are kept on one side of every cut; it is no feature.

    Raises StudyError: no such column, a missing value, nothing else to learn from.
    """
    column = _taken(data, name, "--groups")
    codes, values = pd.factorize(column)
    note = f"Rows are grouped by {name} ({len(values):,} groups), which is no feature."
    return replace(
        data,
        features=data.features.drop(columns=name),
        groups=codes.astype(np.int64),
        notes=(*data.notes, note),
    )


def with_time(data: Dataset, name: str) -> Dataset:
    """Rows are cut by the column `name`, a number or a date, and the latest are tested on.

    It is no feature: later rows lie outside the values that a network has seen.

    Raises StudyError: no such column, a missing or unreadable value, nothing else to learn from.
    """
    column = _taken(data, name, "--time")
    time = _instants(column)
    bad = np.flatnonzero(~np.isfinite(time))
    if len(bad):
        raise StudyError(
            f"`--time`: {name!r} must hold numbers, or dates as 2026-01-31 or 2026-01-31 13:05. Row {bad[0] + 1} has "
            f"{column.iloc[int(bad[0])]!r}. Mend it, or name another column."
        )
    note = (
        f"Rows are in the order of {name}, which is no feature, since times to come lie outside those seen; a copy of "
        "the column under another name would be one."
    )
    return replace(data, features=data.features.drop(columns=name), time=time, notes=(*data.notes, note))


def appended(frame: pd.DataFrame, test: pd.DataFrame, path: str, test_path: str) -> pd.DataFrame:
    """Both tables' rows, `frame`'s first, with `frame`'s columns.

    Raises StudyError: a missing column, or one that holds numbers in one table and text in the other.
    """
    absent = [str(name) for name in frame.columns if name not in test.columns]
    if absent:
        raise StudyError(
            f"`--test`: {test_path} must have the columns of {path}. Missing: {', '.join(absent[:10])}. It has: "
            f"{', '.join(str(name) for name in test.columns[:20])}."
        )
    for name in frame.columns:
        kinds = [_kind(table[name]) for table in (frame, test) if table[name].notna().any()]
        if len(set(kinds)) > 1:
            raise StudyError(
                f"`--test`: column {name!r} must hold the same in both files. It holds {kinds[0]} in {path} and "
                f"{kinds[1]} in {test_path}."
            )
    return pd.concat([frame, test[list(frame.columns)].astype(_shared(frame, test))], ignore_index=True)


def _shared(frame: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """The types of columns without a single value in the test table, which would spoil the others'."""
    return {
        str(name): "float64" if pd.api.types.is_numeric_dtype(frame[name]) else "object"
        for name in frame.columns
        if test[name].isna().all()
    }


def _kind(column: pd.Series[Any]) -> str:
    if pd.api.types.is_datetime64_any_dtype(column):
        return "dates"
    return "numbers" if pd.api.types.is_numeric_dtype(column) else "text"


def _taken(data: Dataset, name: str, option: str) -> pd.Series[Any]:
    if name == data.target:
        raise StudyError(f"`{option}`: the column must not be the target. Got {name!r}. Name another.")
    if name not in data.features.columns:
        columns = [str(column) for column in data.features.columns]
        close = difflib.get_close_matches(name, columns, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise StudyError(
            f"`{option}` must name a column of {data.title}. There is no {name!r}.{hint} The columns are: "
            f"{', '.join(columns[:20])}{', ...' if len(columns) > 20 else ''}."
        )
    column = data.features[name]
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0]) + 1
        raise StudyError(
            f"`{option}`: {name!r} must have a value in every row. {int(column.isna().sum())} have none, the first is "
            f"row {row}. Fill them in, or leave such rows out."
        )
    if data.features.shape[1] == 1:
        raise StudyError(f"`{option}`: there must be a column besides {name!r} to learn from. There is none.")
    return column


def _instants(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Numbers as they are, dates as seconds since 1970, nan for what is neither."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64)
    dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    seconds = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return np.asarray(seconds, dtype=np.float64)
