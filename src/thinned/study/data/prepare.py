"""From columns to numbers, by what was learnt from training rows: plain arrays and names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..error import StudyError
from .dates_in_words import days, part
from .words import WordList

MISSING = ""  # the level of a text value that is not there
MAX_LEVELS = 30  # further levels of a text column, the rarest, share one input


@dataclass(frozen=True)
class Preparation:
    """What was learnt from training rows.

    Inputs, in order: each number column, and the parts of each date column, as `(value or fill - mean) / scale`; a 0/1
    input for each of these columns that had missing values; for each text column a 0/1 input a level, then one for the
    rare levels where there are any; then the words of the column that is read as words. A level that training rows did
    not have counts as rare, or where nothing is rare, as all zeros. A number that did not vary in the training rows is
    an input of 0, whatever it is later: nothing was learnt of it.
    """

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    dates: tuple[tuple[str, tuple[str, ...]], ...]  # date columns, and which parts of them varied
    fill: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    gaps: NDArray[np.int64]  # which of the numbers and parts have an input for being missing
    texts: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    rare: tuple[bool, ...]
    words: WordList | None = None

    @property
    def plain_inputs(self) -> int:
        """Inputs beside those of words."""
        return len(self.mean) + len(self.gaps) + sum(len(levels) for levels in self.levels) + sum(self.rare)

    @property
    def inputs(self) -> int:
        return self.plain_inputs + (0 if self.words is None else self.words.inputs)

    def input_columns(self) -> list[str]:
        """The column that each input is of, in the inputs' order."""
        values = [*self.numbers, *(name for name, parts in self.dates for _ in parts)]
        found = [*values, *(values[number] for number in self.gaps)]
        for name, levels, rare in zip(self.texts, self.levels, self.rare, strict=True):
            found += [name] * (len(levels) + rare)
        return found

    def __call__(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """The network's inputs for `frame`, which must have `columns`; others are left aside.

        Raises StudyError for a missing column or for text in a number column.
        """
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            raise StudyError(
                f"`predict`: `X` must have the columns that the network was trained on. Missing: {', '.join(absent)}."
            )
        values = np.concatenate([numbers(frame, self.numbers), parts_of(frame, self.dates)], axis=1)
        missing = np.isnan(values)
        parts = [(np.where(missing, self.fill, values) - self.mean) / self.scale, missing[:, self.gaps]]
        for name, levels, rare in zip(self.texts, self.levels, self.rare, strict=True):
            known = texts(frame, (name,)) == np.array(levels, dtype=object)
            parts.append(known)
            if rare:
                parts.append(~known.any(axis=1, keepdims=True))
        if self.words is not None:
            parts.append(self.words(texts(frame, (self.words.plan.column,))[:, 0]))
        return np.concatenate(parts, axis=1, dtype=np.float32)


def parts_of(frame: pd.DataFrame, dates: tuple[tuple[str, tuple[str, ...]], ...]) -> NDArray[np.float64]:
    """The parts of date columns as float64, missing as nan."""
    found = [part(frame[column], name) for column, names in dates for name in names]
    return np.stack(found, axis=1) if found else np.zeros((len(frame), 0))


def numbers(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Number columns as float64, missing as nan, truth values as 0 and 1, dates as days since 1970."""
    if not names:
        return np.zeros((len(frame), 0))
    part = frame[list(names)]
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iufb" for dtype in part.dtypes):
        return part.to_numpy(dtype=np.float64)
    return np.stack([_number(part[name]) for name in names], axis=1)


def _number(column: pd.Series[Any]) -> NDArray[np.float64]:
    if pd.api.types.is_datetime64_any_dtype(column):
        stamp = column.dt.tz_localize(None) if column.dt.tz is not None else column
        return days(stamp)
    try:
        return np.asarray(pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise StudyError(f"`predict`: column {column.name!r} must hold numbers, as in training. {error}.") from error


def texts(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.object_]:
    """Text columns as `str`, missing as the level ''."""
    found = np.empty((len(frame), len(names)), dtype=object)
    for i, name in enumerate(names):
        column = frame[name]
        found[:, i] = [MISSING if absent else str(value) for value, absent in zip(column, column.isna(), strict=True)]
    return found


def is_date(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def is_text(column: pd.Series[Any]) -> bool:
    """Neither numbers, nor dates, nor empty: a column without a value is a number column that is always missing."""
    kinds = pd.api.types
    if kinds.is_numeric_dtype(column) or kinds.is_datetime64_any_dtype(column):
        return False
    return bool(column.notna().any())
