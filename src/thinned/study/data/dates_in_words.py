"""What a network gets of a date: year, month, weekday, perhaps the hour, and the time since the first; and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .forms import ISO, SHOWN, DateForm

PARTS = ("year", "month", "weekday", "hour", "days")
_DAY = pd.Timedelta(days=1)


def part(dates: pd.Series[Any], name: str) -> NDArray[np.float64]:
    """One number a date, nan where there is none: days since 1970, the weekday from Monday, 0, hours with minutes."""
    when = dates.dt
    if name == "days":
        return days(dates)
    elif name == "hour":
        found = (dates - when.normalize()) / _DAY * 24
    else:
        found = getattr(when, "day_of_week" if name == "weekday" else name)
    return np.asarray(found, dtype=np.float64)


def days(dates: pd.Series[Any]) -> NDArray[np.float64]:
    """Days since 1970, nan where there is no date. In microseconds, which reach beyond the year 9999."""
    found = dates.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(found), np.nan, found.astype(np.int64) / 86_400e6)


def varying(dates: pd.Series[Any]) -> tuple[str, ...]:
    """The parts that differ between `dates`: of days within one year, the year tells nothing."""
    return tuple(name for name in PARTS if len(np.unique(part(dates.dropna(), name))) > 1)


def said_of(form: DateForm, dates: pd.Series[Any]) -> str:
    """How dates were read, and what becomes of them."""
    filled = dates.dropna()
    order = ""
    if form.format != ISO:
        order = f" as {SHOWN.strftime(form.format)}"
        if form.format.startswith("%d") and "%m" in form.format:
            order += ", day first"
        elif form.format.startswith("%m") and "%d" in form.format:
            order += ", month first"
        if "%y" in form.format:
            order += ", 69 to 99 as 19xx"
    parts = [name for name in varying(dates) if name != "days"]
    if not len(filled):
        return f"dates{order}"
    return f"dates{order}: {', '.join([*parts, f'days since {filled.min().date()}'])}"
