"""In which order a column of text writes day, month and year."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from .forms import ISO, DateForm
from .month_names import in_english

MOST = 0.9  # of a column's values: as many dates make a column of dates
_LOOKED_AT = 200  # different texts that tell which formats may fit
FORMATS = (
    ISO, "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y",
    "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%d. %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d-%b-%y",
    "%d %b %y", "%b %d, %Y", "%b %d %Y",
    "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%a %d %b %Y", "%a, %d %b %Y", "%A, %d %B %Y", "%d. %B %Y",
    "%d de %b de %Y", "%d de %B de %Y", "%a %b %d %Y", "%a, %b %d, %Y", "%A, %B %d, %Y", "%d.%b.%Y",
    "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y", "%a %b %d %H:%M:%S %z %Y",  # as C's ctime, `date` and Ruby
    "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %Z", "%d %b %Y %H:%M:%S %z",  # of mails and of the web
    "%d/%b/%Y:%H:%M:%S %z",  # of web servers' logs
    "%b %Y", "%B %Y", "%b-%y", "%b-%Y", "%Y-%b-%d", "%Y-%m", "%Y/%m", "%m/%Y",
    "%Y년 %m월 %d일", "%Y년%m월%d일", "%Y. %m. %d.", "%Y. %m. %d", "%Y.%m.%d.", "%Y年%m月%d日", "%Y年%m月",
)  # fmt: skip
COMPACT = "%Y%m%d"
_COMPACT = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_TIME = r"(?:[T ]\d{1,2}:\d{2}.*)?"
_SIGNS = {
    "%Y": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}",
    "%a": "[A-Za-z]{3}", "%A": "[A-Za-z]{6,9}", "%H": r"\d{1,2}", "%M": r"\d{2}", "%S": r"\d{2}",
    "%z": r"[+-]\d{2}:?\d{2}", "%Z": "(?:UTC|GMT)",
}  # fmt: skip


@dataclass(frozen=True)
class FoundDates:
    """The form that reads the most values, the texts that it can't read, and another order that reads all as well."""

    form: DateForm
    strays: tuple[str, ...]
    share: float
    other: tuple[DateForm, str] | None = None


def find_dates(texts: Mapping[str, int], day_first: bool | None = None, most: float = MOST) -> FoundDates | None:
    """How to read `texts`, whose missing values are left out already; None where they are no dates.

    Arguments:
        day_first: which order to take where both read every value.
        most: the least share of dates among the values.
    """
    some = list(islice(texts, _LOOKED_AT))
    counts = np.array([texts[text] for text in some])
    total, found = sum(texts.values()), []
    for name in FORMATS:
        form = DateForm(name)
        shaped = np.array([_shape(name).fullmatch(in_english(text, name)) is not None for text in some], dtype=bool)
        if not some or counts[shaped].sum() < most * counts.sum():
            continue
        if counts[_wrong(form, some)].sum() <= (1 - most) * counts.sum():
            strays = tuple(text for text, bad in zip(texts, _wrong(form, list(texts)), strict=True) if bad)
            found.append((sum(texts[text] for text in strays), form, strays))
            if not strays and name == ISO:
                break
    if not found:
        return None
    least = min(missed for missed, _, _ in found)
    best = [(form, strays) for missed, form, strays in found if missed == least]
    if day_first is not None:
        best.sort(key=lambda item: is_day_first(item[0]) is not day_first)
    form, strays = best[0]
    rivals = [rival for rival, _ in best[1:] if is_day_first(rival) is not is_day_first(form)]
    other = None
    if day_first is None and rivals:
        readings = [one.read(_series(texts)).values for one in (form, rivals[0])]
        differing = np.flatnonzero((readings[0] != readings[1]) & readings[0].notna() & readings[1].notna())
        other = (rivals[0], list(texts)[int(differing[0])]) if len(differing) else None
    return FoundDates(form, strays, 1 - least / total, other)


def is_day_first(form: DateForm) -> bool | None:
    """Whether the day stands before the month, both in digits; None where nobody could doubt it."""
    if form.format.startswith("%d") and "%m" in form.format and "." not in form.format:
        return True
    return False if form.format.startswith("%m") and "%d" in form.format else None


def compact(texts: Mapping[str, int]) -> DateForm | None:
    """The form of 20260131, if every text is such a date and there are several."""
    if len(texts) < 2 or not all(_COMPACT.fullmatch(text) for text in texts):
        return None
    form = DateForm(COMPACT)
    return None if _wrong(form, list(texts)).any() else form


@cache
def _shape(format: str) -> re.Pattern[str]:  # noqa: A002 - the name that pandas has
    """What a text of this format looks like, which tells most formats from most texts without trying them."""
    shape = r"\d{4}-\d{2}-\d{2}" if format == ISO else re.escape(format).replace(r"\ ", " +")
    for sign, pattern in _SIGNS.items():
        shape = shape.replace(sign, pattern)
    return re.compile(shape + _TIME)


def _wrong(form: DateForm, texts: list[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return form.read(_series(texts)).wrong


def _series(texts: Any) -> pd.Series[Any]:
    return pd.Series(list(texts), dtype=object)
