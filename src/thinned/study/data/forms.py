"""How a column is written and what is made of it: numbers, dates or levels. Learnt in training, applied cell by cell.

A form sees one cell at a time, so that what a row is read as never depends on the other rows of its file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .cell import PLAIN, TRUTH, number, says_nothing
from .cells import EXACT, is_text, plain
from .month_names import in_english

ISO = "ISO"  # the format of 2026-01-31, with or without a time and a zone
_ISO_SHAPE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?")
TIMES = (" %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")
MONEY_MAY_LACK = "$\u20ac\u00a3\u00a5\u20a9\u20b9"


@dataclass(frozen=True)
class Cells:
    """Values as a form reads them, and which cells it can't read."""

    values: pd.Series[Any]
    wrong: NDArray[np.bool_]


@dataclass(frozen=True)
class NumberForm:
    """Numbers with one decimal sign and one unit; `grouped` as in `cell.number`; `truth`: true and false as 1 and 0."""

    decimal: Literal[".", ","] = "."
    grouped: bool = False
    unit: str = ""
    truth: bool = False

    def read(self, cells: pd.Series[Any]) -> Cells:
        if pd.api.types.is_datetime64_any_dtype(cells):
            return Cells(pd.Series(np.nan, index=cells.index, name=cells.name), cells.notna().to_numpy())
        if not is_text(cells):  # 0.12 and 12 can both be 12 %
            values = cells.astype(np.float64)
            if self.unit == "%" or (not self.truth and pd.api.types.is_bool_dtype(cells)):
                return Cells(values, cells.notna().to_numpy())
            return Cells(values, (values.notna() & ~values.isin((0.0, 1.0))).to_numpy() & self.truth)
        found = [self.value(text) for text in cells]
        wrong = np.array([value is None for value in found], dtype=bool)
        read = np.array([np.nan if value is None else value for value in found], dtype=np.float64)
        return Cells(pd.Series(read, index=cells.index, name=cells.name), wrong)

    def value(self, text: str | None) -> float | None:
        """A cell's number, nan where none is there, None where it is something else."""
        if text is None:
            return np.nan
        if self.decimal == "." and not self.unit and PLAIN.fullmatch(text):
            return float(text)
        if says_nothing(text):
            return np.nan
        if self.truth and text.lower() in TRUTH:
            return TRUTH[text.lower()]
        found = number(text, self.decimal, self.grouped)
        if found is None or (found[1] != self.unit and (found[1] or self.unit not in MONEY_MAY_LACK)):
            return None
        return found[0]

    def __str__(self) -> str:
        if self.truth:
            return "true or false"
        said = [f"numbers with the decimal sign {self.decimal!r}"]
        if self.grouped:
            said.append(f"and {',' if self.decimal == '.' else '.'!r} between thousands")
        if self.unit:
            said.append(f"in {self.unit}")
        return " ".join(said)


@dataclass(frozen=True)
class DateForm:
    """Dates as ISO 8601 has them, and in one other order of day, month and year; with or without a time.

    A month may have its name in one of the languages of `month_names`. Times with a zone become those of UTC.
    """

    format: str = ISO

    def read(self, cells: pd.Series[Any]) -> Cells:
        if pd.api.types.is_datetime64_any_dtype(cells):
            return Cells(cells, np.zeros(len(cells), dtype=bool))
        if not is_text(cells):  # 20260131 as a number
            cells = pd.Series([None if value != value else plain(value) for value in cells], cells.index, dtype=object)
        known = {text: None for text in cells.unique() if text is not None and not says_nothing(text)}
        dates = self._dates(list(known))
        known = dict(zip(known, dates, strict=True))
        nothing = np.datetime64("NaT", "us")
        found = np.array([known.get(text, nothing) for text in cells], dtype="datetime64[us]")
        wrong = np.isnat(found) & np.array([text in known for text in cells], dtype=bool)
        return Cells(pd.Series(found, index=cells.index, name=cells.name), wrong)

    def _dates(self, texts: list[str]) -> NDArray[np.datetime64]:
        found = np.full(len(texts), np.datetime64("NaT", "us"))
        array = np.array(texts, dtype=object)
        timed = np.array([":" in text for text in texts], dtype=bool)
        iso = np.array([_ISO_SHAPE.fullmatch(text) is not None for text in texts], dtype=bool)
        tries = [(iso, "ISO8601")]
        if self.format != ISO:
            whole = "%H" in self.format or "%I" in self.format
            tries += [(timed | ~timed, self.format)] if whole else [(~timed, self.format)]
            tries += [] if whole else [(timed, self.format + time) for time in TIMES]
        for fitting, format_ in tries:
            left = fitting & np.isnat(found)
            if left.any():
                said = pd.Index([in_english(text, format_) for text in array[left]], dtype=object)
                dates = pd.to_datetime(said, errors="coerce", format=format_, utc=True)
                found[left] = dates.tz_convert(None).to_numpy(dtype="datetime64[us]")
        return found

    def __str__(self) -> str:
        return (
            "dates as 2026-01-31" if self.format == ISO else f"dates as {SHOWN.strftime(self.format)} ({self.format})"
        )


SHOWN = pd.Timestamp(2026, 1, 31, tz="UTC")


@dataclass(frozen=True)
class LevelForm:
    """Texts, each a level, as they stand; where `numeric`, 1, 1.0 and 1,0 are one.

    `padded`: there were levels that a number loses, as 01234. Then numbers are none of them.
    """

    numeric: bool = False
    decimal: Literal[".", ","] = "."
    padded: bool = False

    def read(self, cells: pd.Series[Any]) -> Cells:
        if not is_text(cells) and self.padded:
            return Cells(pd.Series(None, cells.index, dtype=object, name=cells.name), cells.notna().to_numpy())
        if not is_text(cells):
            known: dict[Any, str | None] = {value: None if pd.isna(value) else plain(value) for value in cells.unique()}
            found = [None if pd.isna(value) else known[value] for value in cells]
            lost = np.zeros(len(cells), dtype=bool)
            if cells.dtype.kind == "f":
                values = cells.to_numpy()
                lost = np.isfinite(values) & (np.abs(values) > EXACT)
            return Cells(pd.Series(found, cells.index, dtype=object, name=cells.name), lost)
        if self.numeric:
            known = {text: self._level(text) for text in cells.unique()}
            found = [known[text] for text in cells]
        else:
            found = list(cells)
        return Cells(pd.Series(found, cells.index, dtype=object, name=cells.name), np.zeros(len(cells), dtype=bool))

    def _level(self, text: str | None) -> str | None:
        value = None if text is None else number(text, self.decimal)
        return text if value is None or value[1] else plain(value[0])

    def __str__(self) -> str:
        return "text, since numbers lose the zeros in front" if self.padded else "levels"


@dataclass(frozen=True)
class WordsForm:
    """Texts as they stand, of which words are read. A missing one has no words."""

    def read(self, cells: pd.Series[Any]) -> Cells:
        if is_text(cells):
            found = list(cells)
        else:
            found = [None if pd.isna(value) else plain(value) for value in cells]
        return Cells(pd.Series(found, cells.index, dtype=object, name=cells.name), np.zeros(len(cells), dtype=bool))

    def __str__(self) -> str:
        return "texts"


Form = NumberForm | DateForm | LevelForm | WordsForm
