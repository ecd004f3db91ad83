"""A column's cells, whatever library made it: numbers, truth values and dates as such, everything else as text."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from ..error import StudyError

EXACT = 2**53  # whole numbers up to here are exact in float64


def as_cells(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers and truth values with a NumPy type, dates without a zone, or text with None where nothing is there.

    Decimals and fractions are numbers, a duration is its days, a time of day its hours. Categories are their values.
    Whole numbers that float64 can't keep apart, from 2^53 on, stay whole: as integers of NumPy, or as text.

    Raises StudyError: lists, dictionaries, complex numbers, bytes, or dates beyond the year 9999.
    """
    kinds = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype if not column.isna().any() else object)
    if kinds.is_complex_dtype(column):
        raise StudyError(_nested(column, "complex numbers"))
    if kinds.is_bool_dtype(column) or kinds.is_numeric_dtype(column):
        return _typed(column)
    if kinds.is_datetime64_any_dtype(column):
        return _dates(column)
    if kinds.is_timedelta64_dtype(column):
        days: pd.Series[Any] = column.dt.total_seconds() / 86_400
        return days
    return _objects(column)


def _typed(column: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(column.dtype, np.dtype):
        with np.errstate(over="ignore"):  # what a longdouble has beyond float64 is infinite, and refused later
            return column.astype(np.float64) if column.dtype in (np.float16, np.longdouble) else column
    if not column.isna().any():
        kinds = pd.api.types
        kind = "bool" if kinds.is_bool_dtype(column) else "float64"
        if kinds.is_integer_dtype(column):
            kind = "uint64" if kinds.is_unsigned_integer_dtype(column) else "int64"
        values = column.to_numpy(dtype=np.dtype(kind))
    elif pd.api.types.is_integer_dtype(column) and not exact(column.min(), column.max()):
        return _texts(column)
    else:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(values, index=column.index, name=column.name)


def _objects(column: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty"):
        texts = [value.strip() or None if isinstance(value, str) else None for value in column]
        return pd.Series(texts, index=column.index, name=column.name, dtype=object)
    filled = column[column.notna()]
    types = {type(value) for value in filled}
    for kind in types:
        if issubclass(kind, (list, dict, set, tuple, np.ndarray, complex, bytes)):
            raise StudyError(_nested(column, repr(next(value for value in filled if isinstance(value, kind)))))
    if types and all(issubclass(kind, (bool, np.bool_)) for kind in types):
        return column.astype(np.float64) if column.isna().any() else column.astype(np.bool_)
    if types and any(isinstance(value, (int, np.integer, Decimal)) and not exact(value) for value in filled):
        return _texts(column)
    if types and all(issubclass(kind, (Real, Decimal, Fraction, np.number, bool, np.bool_)) for kind in types):
        values = [np.nan if absent else float(value) for value, absent in zip(column, column.isna(), strict=True)]
        return pd.Series(values, index=column.index, name=column.name, dtype=np.float64)
    if types and all(issubclass(kind, datetime.date) for kind in types):
        dates = pd.to_datetime(column, errors="coerce", utc=True)
        if dates.notna().sum() == len(filled):
            return _dates(dates)
    if types and all(issubclass(kind, datetime.time) for kind in types):
        hours = [np.nan if absent else _hours(value) for value, absent in zip(column, column.isna(), strict=True)]
        return pd.Series(hours, index=column.index, name=column.name, dtype=np.float64)
    return _texts(column)


def _dates(column: pd.Series[Any]) -> pd.Series[Any]:
    """In UTC where there is a zone."""
    plain_dates = column.dt.tz_convert(None) if getattr(column.dt, "tz", None) is not None else column
    found = plain_dates.to_numpy()
    years = found.astype("datetime64[Y]").astype(np.int64)[~np.isnat(found)] + 1970
    if len(years) and not (years.min() >= 1 and years.max() <= 9999):
        raise StudyError(
            f"column {column.name!r}: dates must lie in the years 1 to 9999. It has one in the year "
            f"{years.max() if years.max() > 9999 else years.min()}. Mend it, or leave the column out with --column "
            f"{column.name}=ignore."
        )
    return plain_dates.astype("datetime64[us]")


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    found = [
        None if absent else (value.strip() if isinstance(value, str) else plain(value)) or None
        for value, absent in zip(column, column.isna(), strict=True)
    ]
    return pd.Series(found, index=column.index, name=column.name, dtype=object)


def exact(*values: Any) -> bool:
    """Whether float64 keeps whole numbers of this size apart.

    >>> exact(2**53, 0.5), exact(2**53 + 1), exact(-(2**63))
    (True, False, False)
    """
    return all(abs(int(value)) <= EXACT for value in values if value == value and abs(value) != float("inf"))


def plain(value: Any) -> str:
    """A value as text, the same for 1, 1.0 and True's kin of one type: "1", "0.5", "True", "2026-01-31".

    >>> plain(1.0), plain(2), plain(0.5), plain(True)
    ('1', '2', '0.5', 'True')
    """
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, (float, np.floating, Decimal)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    if isinstance(value, pd.Timestamp):
        return str(value.date()) if value == value.normalize() else value.isoformat(sep=" ")
    return str(value).strip()


def is_text(cells: pd.Series[Any]) -> bool:
    """Whether `as_cells` found text, or nothing at all."""
    return cells.dtype == object


def _hours(value: datetime.time) -> float:
    return value.hour + value.minute / 60 + (value.second + value.microsecond / 1e6) / 3600


def _nested(column: pd.Series[Any], found: str) -> str:
    return (
        f"column {column.name!r} must hold one real number or one text a row. It holds {found}. Spread it over columns "
        f"of its own, or leave it out with --column {column.name}=ignore."
    )
