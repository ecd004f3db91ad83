"""Columns by name: those that say how to cut, groups and time, and what to say of one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .column import Place, row_of
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
    """Rows are cut by the column `name`, numbers or dates, and the latest are tested on.

    It is no feature: later rows lie outside the values that a network has seen.

    Raises StudyError: no such column, a missing value, nothing else to learn from.
    """
    column = _taken(data, name, "--time")
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.astype("datetime64[us]").astype(np.int64) / 1e6  # seconds since 1970
    note = (
        f"Rows are in the order of {name}, which is no feature, since times to come lie outside those seen; a copy of "
        "the column under another name would be one."
    )
    time = column.to_numpy(dtype=np.float64)
    return replace(data, features=data.features.drop(columns=name), time=time, notes=(*data.notes, note))


def check_cut(columns: list[str], target: str, name: str, option: str, title: str) -> None:
    """Raises StudyError: the column `name` of `option` is the target, or not there."""
    if name == target:
        raise StudyError(f"`{option}`: the column must not be the target. Got {name!r}. Name another.")
    if name not in columns:
        features = [column for column in columns if column != target]
        raise StudyError(f"`{option}` must name a column of {title}. {absent(name, features)}")


def absent(name: str, columns: Sequence[str], hint: str = "") -> str:
    """What to say of a column that is not there: one whose name is close, or another hint, and those that are there."""
    close = difflib.get_close_matches(name, columns, n=1)
    hint = hint or (f"Did you mean {close[0]!r}?" if close else "")
    return f"There is no {name!r}. {hint + ' ' if hint else ''}The columns are: {listed(columns)}."


def listed(columns: Sequence[str]) -> str:
    """The first twenty names."""
    return ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")


def check_filled(column: pd.Series[Any], option: str, place: Place = row_of) -> None:
    """Raises StudyError: a row has no value in the column of `option`."""
    empty = column.isna().to_numpy()
    if empty.any():
        first = place(int(column.index[int(empty.argmax())]))
        raise StudyError(
            f"`{option}`: {column.name!r} must have a value in every row. {int(empty.sum())} have none, the first is "
            f"{first}. Fill them in, or leave such rows out."
        )


def _taken(data: Dataset, name: str, option: str) -> pd.Series[Any]:
    check_cut([*data.features.columns], data.target, name, option, data.title)
    column = data.features[name]
    check_filled(column, option)
    if data.features.shape[1] == 1:
        raise StudyError(f"`{option}`: there must be a column besides {name!r} to learn from. There is none.")
    return column
