"""A column that is looked at: its cells, its texts, what is known of its table; and the errors that ask about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import pandas as pd

from ...once import once
from ..error import StudyError
from .cell import NOTHING, is_code, number
from .cells import as_cells, is_text, plain
from .column import Column, Place
from .dates_in_words import said_of
from .forms import DateForm, LevelForm
from .learn_date import FoundDates, find_dates
from .learn_number import Decimal, FoundNumbers, find_numbers

EMPTY = "no value in any row"


@dataclass(frozen=True)
class TableSigns:
    """What is known of a whole table: where a row is, its decimal sign, and whether days stand before months."""

    place: Place
    decimal: Decimal | None
    fixed: bool  # whether the caller said the decimal sign
    day_first: bool | None = None


class ColumnLook:
    """A column of a table. `texts` are its different texts and their counts, `said` those that say something."""

    def __init__(self, values: pd.Series[Any], signs: TableSigns) -> None:
        self.values, self.signs = values, signs
        self.name = str(values.name)
        self.cells = as_cells(values)
        self.text = is_text(self.cells)

    @property
    def dated(self) -> bool:
        return bool(pd.api.types.is_datetime64_any_dtype(self.cells))

    @once
    def truth(self) -> bool:
        """Whether the values are true, false and nothing else, by their type."""
        return pd.api.types.infer_dtype(self.values, skipna=True) == "boolean"

    @once
    def texts(self) -> Counter[str]:
        return Counter(text for text in self.cells if text is not None) if self.text else Counter()

    @once
    def said(self) -> dict[str, int]:
        return {text: count for text, count in self.texts.items() if text.lower() not in NOTHING}

    @property
    def missing(self) -> str:
        """Which words were taken for missing values, in words."""
        gaps = {text: count for text, count in self.texts.items() if text not in self.said}
        words = " and ".join(repr(text) for text in list(gaps)[:3])
        return f"; {words} in {sum(gaps.values()):,} rows: missing" if gaps else ""

    def numbers(self) -> FoundNumbers:
        return find_numbers(self.said, self.signs.decimal, self.signs.fixed)

    def dates(self, most: float) -> FoundDates | None:
        return find_dates(self.said, self.signs.day_first, most)

    def as_date(self, form: DateForm, more: str = "") -> Column:
        return Column(self.name, "date", form, said_of(form, form.read(self.cells).values) + self.missing + more)

    def level_form(self) -> LevelForm:
        """Levels; those of a column of numbers alone are numbers, so that 1 and 1.0 are one."""
        if not self.text:
            return LevelForm(numeric=not self.truth)
        decimal = self.signs.decimal or "."
        values = [number(text, decimal) for text in self.said]
        numeric = all(value is not None and not value[1] for value in values) and not codes(self.said)
        return LevelForm(numeric and bool(values), decimal, not numeric and padded(self.texts))

    def place(self, text: str) -> str:
        """Where a text stands first."""
        hit = (self.cells == text).to_numpy()
        return self.signs.place(int(self.cells.index[int(hit.argmax())]))

    def first(self, wrong: Any, between: str) -> str:
        """The first wrong cell: `row 50: '4o' (line 51)`."""
        row = int(wrong.argmax())
        said, _, line = self.signs.place(int(self.cells.index[row])).partition(" (")
        return f"{said}{between} {self.cells.iloc[row]!r}{f' ({line}' if line else ''}"

    def refuse(self, what: str, strays: tuple[str, ...]) -> NoReturn:
        """Raises StudyError: a few values are none of `what`."""
        wrong = self.cells.isin(strays).to_numpy()
        raise StudyError(
            f"column {self.name!r} holds {what}, but {int(wrong.sum())} of its values are none, the first in "
            f"{self.first(wrong, ':')}. Mend them, or leave them empty: gaps are filled. If they are meant as they "
            f"stand, pass --column {self.name}=level."
        )

    def check_sign(self, found: FoundNumbers) -> None:
        """Raises StudyError: the decimal sign is open, and it matters."""
        if found.other is not None:
            text, one, two = found.other
            raise StudyError(
                f"column {self.name!r}: {text!r} in {self.place(text)} can be {one:g} or {two:g}, and nothing in the "
                "table tells. Pass --decimal . or --decimal ,."
            )

    def check_given_sign(self) -> None:
        """Raises StudyError: the decimal sign was given, and with the other one all values are numbers."""
        given = self.signs.decimal
        if self.signs.fixed and not find_numbers(self.said, "." if given == "," else ",", fixed=True).strays:
            text = next(text for text in self.said if number(text, given or ".") is None)
            raise StudyError(
                f"column {self.name!r}: {text!r} in {self.place(text)} is no number with the decimal sign {given!r}, "
                f"which was asked for. Leave --decimal out, or pass --column {self.name}=level."
            )

    def check_order(self, found: FoundDates) -> None:
        """Raises StudyError: days and months could be either way round."""
        if found.other is not None:
            other, text = found.other
            raise StudyError(
                f"column {self.name!r}: {text!r} in {self.place(text)} can be of two days, since no value tells "
                f"whether the day or the month stands first. Pass --column {self.name}=date:{found.form.format} or "
                f"{self.name}=date:{other.format}."
            )


def codes(texts: Mapping[str, int]) -> bool:
    """Digits with zeros in front, or too many for a number; no decimals among them."""
    return any(map(is_code, texts)) and not any("." in text or "," in text for text in texts if text[:1].isdigit())


def padded(texts: Mapping[str, int]) -> bool:
    """Whether a text is lost where a library takes it for a number. Long digits are kept, as an integer."""
    return any(
        (value := number(text)) is not None and not value[1] and plain(value[0]) != text
        for text in texts
        if not (text.isdecimal() and text[0] != "0")
    )
