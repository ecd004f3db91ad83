"""What each column of a table is: decided by its values, and by its type where it has one; said in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pandas as pd

from ..error import StudyError
from .cell import TRUTH, is_code, number
from .cells import exact, plain
from .column import Column, Kind, Place, row_of
from .forms import DateForm, LevelForm, NumberForm
from .learn_asked import as_asked, for_time
from .learn_date import compact, find_dates, is_day_first
from .learn_number import MOST, Decimal, decimal_sign
from .look import EMPTY, ColumnLook, TableSigns, codes, padded
from .month_names import look_like_dates
from .numbers_in_words import numbers_in_words
from .overrule import TextForm, WantedColumn

MANY = 30  # levels that have an input of their own
HALF, FEW = 0.5, 3  # of the values, and different texts: so many numbers, and so few others, are a column of numbers
_LOOKED_AT = 2_000  # rows that tell the table's decimal sign
Role = Literal["", "target", "groups", "time"]


def learn(
    frame: pd.DataFrame,
    form: TextForm | None = None,
    wanted: Mapping[str, WantedColumn] | None = None,
    roles: Mapping[str, Role] | None = None,
    place: Place = row_of,
    decimal: Decimal | None = None,
) -> tuple[Column, ...]:
    """What each column of `frame` is, in their order.

    Arguments:
        form: the separator and the decimal sign of its file. A given decimal sign is taken as it is.
        wanted: columns of which the caller says what they are.
        roles: what a column is for, beside being a feature.
        place: where a row is in its file, for errors.
        decimal: what `sign_of` says of the whole table, if `frame` is a part of it.

    Raises StudyError: a column that can be read in two ways, that a few values spoil, or not as it is wanted.
    """
    form, wanted, roles = form or TextForm(), wanted or {}, roles or {}
    signs = TableSigns(place, decimal or sign_of(frame, form), form.decimal is not None)
    looks = {name: ColumnLook(frame[name], signs) for name in frame.columns}
    later = [name for name, look in looks.items() if _two_orders(look, wanted.get(name), roles.get(name, ""))]
    found = {
        name: _column(look, wanted.get(name), roles.get(name, "")) for name, look in looks.items() if name not in later
    }
    orders = {is_day_first(column.form) for column in found.values() if isinstance(column.form, DateForm)} - {None}
    told = replace(signs, day_first=orders.pop() if len(orders) == 1 else None)
    found |= {name: _column(ColumnLook(frame[name], told), wanted.get(name), roles.get(name, "")) for name in later}
    return tuple(found[name] for name in frame.columns)


def sign_of(frame: pd.DataFrame, form: TextForm) -> Decimal | None:
    """The decimal sign of a table: given, or what its text columns tell; None where they leave it open."""
    if form.decimal is not None:
        return "," if form.decimal == "," else "."
    some, nothing = frame.iloc[:: max(len(frame) // _LOOKED_AT, 1)], TableSigns(row_of, None, False)
    found = (ColumnLook(some[name], nothing).said for name in some.columns)
    return decimal_sign([texts for texts in found if texts], form.sep)


def _two_orders(look: ColumnLook, wanted: WantedColumn | None, role: Role) -> bool:
    """Whether a column of dates leaves open which stands first, so that the other columns are asked."""
    if role == "groups" or (wanted is not None and (wanted.kind != "date" or wanted.format is not None)):
        return False
    dates = find_dates(look.said) if look.said else None
    return dates is not None and dates.other is not None


def _column(look: ColumnLook, wanted: WantedColumn | None, role: Role) -> Column:
    if wanted is not None:
        found = as_asked(look, wanted)
    elif role == "groups":
        found = Column(look.name, "level", look.level_form())
    elif role == "time":
        found = for_time(look)
    elif isinstance(look.values.dtype, pd.CategoricalDtype) and not look.text and not look.truth:
        found = Column(look.name, "level", look.level_form(), "categories of the file")
    else:
        found = _by_text(look) if look.text else _by_type(look)
    return replace(found, role=role)


def _by_type(look: ColumnLook) -> Column:
    name, filled = look.name, look.cells.dropna()
    if filled.empty:
        return Column(name, "left out", NumberForm(), EMPTY)
    if look.truth:
        return Column(name, "number", NumberForm(truth=True), "true and false, as 1 and 0")
    if look.dated:
        return look.as_date(DateForm())
    if filled.dtype.kind in "iu" and not exact(filled.min(), filled.max()):
        return Column(
            name, "level", LevelForm(), "whole numbers above 2^53, each a level: a number can't tell them apart"
        )
    whole = bool((filled == filled.round()).all() and filled.abs().max() < 1e15)
    form = compact({plain(value): 1 for value in filled.unique()}) if whole else None
    if form is not None:
        return look.as_date(form)
    return Column(name, "number", NumberForm(), "whole numbers" if whole else "numbers")


def _by_text(look: ColumnLook) -> Column:
    name, said = look.name, look.said
    if not look.texts or (not said and len(look.texts) == 1):
        return Column(name, "left out", LevelForm(), EMPTY)
    if not said:
        return _level(look)
    if all(text.lower() in TRUTH for text in said):
        return Column(name, "number", NumberForm(truth=True), f"true and false, as 1 and 0{look.missing}")
    form = compact(said)
    if form is not None:
        return look.as_date(form)
    if codes(said):
        return _level(look)
    numbers = look.numbers()
    if numbers.mixed is not None:
        one, two = numbers.mixed
        raise StudyError(
            f"column {name!r} holds numbers in different units: {one!r} in {look.place(one)}, {two!r} in "
            f"{look.place(two)}. Write them alike, or pass --column {name}=level or {name}=ignore."
        )
    if not numbers.strays:
        look.check_sign(numbers)
        return Column(name, "number", numbers.form, numbers_in_words(numbers.form, said) + look.missing)
    dates = look.dates(HALF)
    if dates is not None and not dates.strays:
        look.check_order(dates)
        return look.as_date(dates.form)
    look.check_given_sign()
    if dates is not None and _spoilt(said, dates.strays, dates.share):
        look.refuse("dates", dates.strays)
    if _spoilt(said, numbers.strays, numbers.share) and not _letters_first(numbers.strays):
        look.refuse("numbers", numbers.strays)
    return _level(look)


def _level(look: ColumnLook) -> Column:
    texts, said, decimal = look.texts, look.said, look.signs.decimal or "."
    why = f"{len(texts):,} different texts"
    if codes(said):
        why = f"{len(texts):,} different codes, as {next(text for text in said if is_code(text))}"
    elif any(number(text, decimal) for text in said):
        odd = next((text for text in said if number(text, decimal) is None), None)
        why += f"; numbers among them, but {odd!r} is none" if odd is not None else ""
    words = [repr(text) for text in texts if text not in said]
    if words and said:
        why += f"; {' and '.join(words[:3])} {'is a level' if len(words) == 1 else 'are levels'} like others"
    if look_like_dates(said):
        why += "; they look like dates: written as 2026-01-31, they are read as such"
    common = sum(sorted((count for count in texts.values() if count > 1), reverse=True)[:MANY])
    rare = 1 - common / max(sum(texts.values()), 1)
    kind: Kind = "text" if len(texts) > MANY and rare > 0.5 else "level"
    return Column(look.name, kind, LevelForm(padded=padded(texts)), why)


def _spoilt(texts: Mapping[str, int], strays: tuple[str, ...], share: float) -> bool:
    """Whether values that can't be read spoil a column: a tenth of them, or one word or two among many other values."""
    return share >= MOST or (share >= HALF and len(strays) <= FEW and len(texts) > MANY)


def _letters_first(texts: tuple[str, ...]) -> bool:
    """Codes as V57 or E849, which stand among numbers without being one that was typed wrongly."""
    return all(text[:1].isalpha() and any(sign.isdigit() for sign in text) for text in texts)
