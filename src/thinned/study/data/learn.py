"""What each column of a table is: decided by its values, and by its type where it has one; said in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from ..error import StudyError
from .cell import NOTHING, TRUTH, is_code, number
from .cells import as_cells, is_text, plain
from .column import Column, Kind, Place, row_of
from .dates_in_words import said_of
from .forms import DateForm, LevelForm, NumberForm
from .learn_date import compact, find_dates, is_day_first
from .learn_number import MOST, Decimal, decimal_sign, find_numbers
from .overrule import TextForm, WantedColumn

MANY = 30  # levels that have an input of their own
HALF, FEW = 0.5, 3  # of the values, and different texts: so many numbers, and so few others, are a column of numbers
Role = Literal["", "target", "groups", "time"]
_LOOKED_AT = 2_000  # rows that tell the table's decimal sign
EMPTY = "no value in any row"


@dataclass(frozen=True)
class Learner:
    """What is known of the table when one of its columns is looked at."""

    place: Place
    decimal: Decimal | None
    fixed: bool  # whether the caller said the decimal sign
    day_first: bool | None = None

    def column(self, values: pd.Series[Any], wanted: WantedColumn | None, role: Role) -> Column:
        """Raises StudyError: a few values spoil a column, it can be read in two ways, or not as it is wanted."""
        cells = as_cells(values)
        if wanted is not None:
            return replace(self._asked(cells, wanted), role=role, asked=True)
        if role == "groups":
            return Column(str(values.name), "level", self._levels(cells), "", role)
        if role == "time":
            return self._time(cells)
        if isinstance(values.dtype, pd.CategoricalDtype) and not is_text(cells) and cells.dtype != bool:
            return Column(str(values.name), "level", LevelForm(numeric=True), "categories of the file", role)
        return replace(self._typed(cells) if not is_text(cells) else self._text(cells), role=role)

    def _typed(self, cells: pd.Series[Any]) -> Column:
        name, filled = str(cells.name), cells.dropna()
        if filled.empty:
            return Column(name, "left out", NumberForm(), EMPTY)
        if cells.dtype == bool:
            return Column(name, "number", NumberForm(truth=True), "true and false, as 1 and 0")
        if pd.api.types.is_datetime64_any_dtype(cells):
            return _date(name, DateForm(), filled)
        whole = (filled == filled.round()).all() and filled.abs().max() < 1e15
        form = compact(_counted(plain(value) for value in filled.unique())) if whole else None
        if form is not None:
            return _date(name, form, form.read(filled).values)
        truth = set(filled.unique()) <= {0.0, 1.0} and cells.dtype == object
        return Column(name, "number", NumberForm(truth=truth), "whole numbers" if whole else "numbers")

    def _text(self, cells: pd.Series[Any]) -> Column:
        name, texts = str(cells.name), _counted(text for text in cells if text is not None)
        said = {text: count for text, count in texts.items() if text.lower() not in NOTHING}
        gaps = {text: count for text, count in texts.items() if text not in said}
        if not texts or (not said and len(gaps) == 1 and texts.keys() <= {"?", "-", "--"}):
            return Column(name, "left out", LevelForm(), EMPTY)
        missing = _missing(gaps)
        if not said:
            return self._level(name, texts, texts)
        if all(text.lower() in TRUTH for text in said):
            return Column(name, "number", NumberForm(truth=True), f"true and false, as 1 and 0{missing}")
        form = compact(said)
        if form is not None:
            return _date(name, form, form.read(cells).values, missing)
        if _codes(said):
            return self._level(name, texts, said)
        numbers = find_numbers(said, self.decimal, self.fixed)
        if numbers.mixed is not None:
            one, two = numbers.mixed
            raise StudyError(
                f"column {name!r} holds numbers in different units: {one!r} in {self._where(cells, one)}, {two!r} in "
                f"{self._where(cells, two)}. Write them alike, or pass --column {name}=level or {name}=ignore."
            )
        if not numbers.strays:
            self._clear(cells, numbers.other)
            return Column(name, "number", numbers.form, _numbers_in_words(numbers.form, said) + missing)
        dates = find_dates(said, self.day_first, most=HALF)
        if dates is not None and not dates.strays:
            self._one_order(cells, dates.form, dates.other)
            return _date(name, dates.form, dates.form.read(cells).values, missing)
        if dates is not None and _spoilt(said, dates.strays, dates.share):
            self._refuse(cells, "dates", dates.strays)
        if _spoilt(said, numbers.strays, numbers.share) and not _letters_first(numbers.strays):
            self._refuse(cells, "numbers", numbers.strays)
        return self._level(name, texts, said)

    def _level(self, name: str, texts: Mapping[str, int], said: Mapping[str, int]) -> Column:
        """Text; `said` are the texts that are no word for a missing value."""
        why = f"{len(texts):,} different texts"
        if _codes(said):
            code = next(text for text in said if is_code(text))
            why = f"{len(texts):,} different codes, as {code}"
        elif any(number(text, self.decimal or ".") for text in said):
            odd = next((text for text in said if number(text, self.decimal or ".") is None), None)
            why += f"; numbers among them, but {odd!r} is none" if odd is not None else ""
        words = [repr(text) for text in texts if text not in said]
        if words and said:
            why += f"; {' and '.join(words[:3])} {'is a level' if len(words) == 1 else 'are levels'} like others"
        common = sum(sorted((count for count in texts.values() if count > 1), reverse=True)[:MANY])
        rare = 1 - common / max(sum(texts.values()), 1)
        kind: Kind = "text" if len(texts) > MANY and rare > 0.5 else "level"
        return Column(name, kind, LevelForm(padded=_padded(texts)), why)

    def _levels(self, cells: pd.Series[Any]) -> LevelForm:
        if not is_text(cells):
            return LevelForm(numeric=True)
        texts = _counted(text for text in cells if text is not None)
        values = [number(text, self.decimal or ".") for text in texts]
        plainly = all(value is not None and not value[1] for value in values) and not any(map(is_code, texts))
        return LevelForm(plainly, self.decimal or ".", not plainly and _padded(texts))

    def _time(self, cells: pd.Series[Any]) -> Column:
        """Numbers or dates: what reads the most. The rest is refused in words of the option."""
        name = str(cells.name)
        if not is_text(cells):
            return Column(
                name, "date" if pd.api.types.is_datetime64_any_dtype(cells) else "number", NumberForm(), "", "time"
            )
        texts = _counted(text for text in cells if text is not None)
        numbers, dates = find_numbers(texts, self.decimal, self.fixed), find_dates(texts, self.day_first)
        dated = dates is not None and dates.share > numbers.share
        form = dates.form if dates is not None and dated else numbers.form
        if dates is not None and dated:
            self._one_order(cells, dates.form, dates.other)
        wrong = form.read(cells).wrong | cells.map(lambda text: text is not None and text.lower() in NOTHING).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise StudyError(
                f"`--time`: {name!r} must hold numbers, or dates as 2026-01-31 or 2026-01-31 13:05. R"
                f"{self._told(int(cells.index[row]), 'has', cells.iloc[row])[1:]}. Mend it, or name another column."
            )
        return Column(name, "date" if dated else "number", form, "", "time")

    def _asked(self, cells: pd.Series[Any], wanted: WantedColumn) -> Column:
        name, texts = wanted.name, _counted(text for text in cells if is_text(cells) and text is not None)
        said = {text: count for text, count in texts.items() if text.lower() not in NOTHING}
        missing = _missing({text: count for text, count in texts.items() if text not in said})
        if wanted.kind == "ignore":
            return Column(name, "left out", LevelForm(), "as asked")
        if wanted.kind == "level":
            form = self._levels(cells)
            why = f"{cells.nunique():,} different values, as asked"
            return Column(name, "level", form, why)
        if wanted.kind == "number":
            if pd.api.types.is_datetime64_any_dtype(cells):
                raise StudyError(
                    f"`--column {wanted}`: it holds dates. Pass {name}=date, {name}=level or {name}=ignore."
                )
            if not is_text(cells):
                return Column(name, "number", NumberForm(), "as asked")
            if said and all(text.lower() in TRUTH for text in said):
                return Column(name, "number", NumberForm(truth=True), f"true and false, as asked{missing}")
            numbers = find_numbers(said, self.decimal, self.fixed)
            self._possible(cells, wanted, numbers.strays, "number")
            self._clear(cells, numbers.other)
            return Column(name, "number", numbers.form, f"{_numbers_in_words(numbers.form, said)}, as asked{missing}")
        if not is_text(cells):
            if not pd.api.types.is_datetime64_any_dtype(cells):
                cells = cells.map(lambda value: None if pd.isna(value) else plain(value)).astype(object)
                said = _counted(text for text in cells if text is not None)
            else:
                return _date(name, DateForm(), cells, ", as asked")
        if wanted.format is not None:
            given = DateForm(wanted.format)
            wrong = given.read(cells).wrong
            self._possible(cells, wanted, cells[wrong].tolist(), "date")
            return _date(name, given, given.read(cells).values, f"{missing}, as asked")
        compacted = compact(said)
        dates = find_dates(said, self.day_first, most=0.0)
        if compacted is not None:
            return _date(name, compacted, compacted.read(cells).values, f"{missing}, as asked")
        if dates is None:
            raise StudyError(f"`--column {wanted}` can't be done: {EMPTY}. Pass {name}=ignore.")
        self._possible(cells, wanted, dates.strays, "date")
        self._one_order(cells, dates.form, dates.other)
        return _date(name, dates.form, dates.form.read(cells).values, f"{missing}, as asked")

    def _possible(self, cells: pd.Series[Any], wanted: WantedColumn, strays: Iterable[str], what: str) -> None:
        for text in strays:
            form = "" if what == "number" or wanted.format else f", or name its format, as {wanted.name}=date:%d/%m/%Y"
            raise StudyError(
                f"`--column {wanted}` can't be done: {text!r} in {self._where(cells, text)} is no {what}. Mend it, "
                f"leave it empty, or pass {wanted.name}=level{form}."
            )

    def _refuse(self, cells: pd.Series[Any], what: str, strays: tuple[str, ...]) -> None:
        odd = cells.isin(strays)
        row = int(cells.index[int(odd.to_numpy().argmax())])
        name = str(cells.name)
        raise StudyError(
            f"column {name!r} holds {what}, but {int(odd.sum())} of its values are none, the first in "
            f"{self._told(row, ':', cells[row])}. Mend them, or leave them empty: gaps are filled. If they are "
            f"meant as they stand, pass --column {name}=level."
        )

    def _clear(self, cells: pd.Series[Any], other: tuple[str, float, float] | None) -> None:
        if other is not None:
            text, one, two = other
            raise StudyError(
                f"column {cells.name!r}: {text!r} in {self._where(cells, text)} can be {one:g} or {two:g}, and nothing "
                "in the table tells. Pass --decimal . or --decimal ,."
            )

    def _one_order(self, cells: pd.Series[Any], form: DateForm, other: tuple[DateForm, str] | None) -> None:
        if other is not None:
            raise StudyError(
                f"column {cells.name!r}: {other[1]!r} in {self._where(cells, other[1])} can be of two days, since no "
                f"value tells whether the day or the month stands first. Pass --column {cells.name}=date:{form.format} "
                f"or {cells.name}=date:{other[0].format}."
            )

    def _told(self, row: int, verb: str, value: Any) -> str:
        """`row 50 has '4o' (line 51)`."""
        said, _, line = self.place(row).partition(" (")
        return f"{said}{verb if verb == ':' else f' {verb}'} {value!r}{f' ({line}' if line else ''}"

    def _where(self, cells: pd.Series[Any], text: str) -> str:
        hit = (cells == text).to_numpy()
        return self.place(int(cells.index[int(hit.argmax())]))


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
    sign = decimal or sign_of(frame, form)
    learner = Learner(place, sign, form.decimal is not None)
    found: dict[str, Column] = {}
    for name in frame.columns:
        if not _two_orders(frame[name], wanted.get(name), roles.get(name, "")):
            found[name] = learner.column(frame[name], wanted.get(name), roles.get(name, ""))
    orders = {is_day_first(column.form) for column in found.values() if isinstance(column.form, DateForm)} - {None}
    later = replace(learner, day_first=orders.pop() if len(orders) == 1 else None)
    for name in frame.columns:
        if name not in found:
            found[name] = later.column(frame[name], wanted.get(name), roles.get(name, ""))
    return tuple(found[name] for name in frame.columns)


def sign_of(frame: pd.DataFrame, form: TextForm) -> Decimal | None:
    """The decimal sign of a table: given, or what its text columns tell; None where they leave it open."""
    if form.decimal is not None:
        return "," if form.decimal == "," else "."
    some = frame.iloc[:: max(len(frame) // _LOOKED_AT, 1)]
    found = (_sayings(some[name]) for name in some.columns)
    return decimal_sign([texts for texts in found if texts], form.sep)


def _sayings(column: pd.Series[Any]) -> dict[str, int]:
    cells = as_cells(column)
    if not is_text(cells):
        return {}
    return {text: n for text, n in _counted(t for t in cells if t is not None).items() if text.lower() not in NOTHING}


def _two_orders(column: pd.Series[Any], wanted: WantedColumn | None, role: Role) -> bool:
    """Whether a column of dates leaves open which stands first, so that the other columns are asked."""
    if role == "groups" or (wanted is not None and (wanted.kind != "date" or wanted.format is not None)):
        return False
    some = column.iloc[:: max(len(column) // _LOOKED_AT, 1)]
    if find_dates(_sayings(some)) is None:
        return False
    dates = find_dates(_sayings(column))
    return dates is not None and dates.other is not None


def _counted(texts: Iterable[str]) -> Counter[str]:
    return Counter(texts)


def _codes(texts: Mapping[str, int]) -> bool:
    """Digits with zeros in front, or too many for a number; no decimals among them."""
    return any(map(is_code, texts)) and not any("." in text or "," in text for text in texts if text[:1].isdigit())


def _spoilt(texts: Mapping[str, int], strays: tuple[str, ...], share: float) -> bool:
    """Whether values that can't be read spoil a column: a tenth of them, or one word or two among many other values."""
    return share >= MOST or (share >= HALF and len(strays) <= FEW and len(texts) > MANY)


def _letters_first(texts: tuple[str, ...]) -> bool:
    """Codes as V57 or E849, which stand among numbers without being one that was typed wrongly."""
    return all(text[:1].isalpha() and any(sign.isdigit() for sign in text) for text in texts)


def _padded(texts: Iterable[str]) -> bool:
    """Whether a text is lost where a library takes it for a number."""
    return any((value := number(text)) is not None and not value[1] and plain(value[0]) != text for text in texts)


def _missing(gaps: Mapping[str, int]) -> str:
    if not gaps:
        return ""
    words = " and ".join(repr(text) for text in list(gaps)[:3])
    return f"; {words} in {sum(gaps.values()):,} rows: missing"


def _numbers_in_words(form: NumberForm, texts: Iterable[str]) -> str:
    said = "numbers"
    if form.unit:
        said += f" in {form.unit}"
    point = any(form.decimal in text for text in texts)
    if form.decimal == "," and point:
        said += ", decimal sign ','"
    if form.grouped:
        said += f", thousands set apart by {',' if form.decimal == '.' else '.'!r}"
    return said


def _date(name: str, form: DateForm, dates: pd.Series[Any], more: str = "") -> Column:
    return Column(name, "date", form, said_of(form, dates) + more)
