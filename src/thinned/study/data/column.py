"""How one column of a table is read, and what of it a network gets: learnt in training, shown, and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..error import StudyError
from .cells import as_cells
from .forms import Cells, DateForm, Form, LevelForm, NumberForm, WordsForm

LARGEST = 1e30  # networks compute in float32, and squares of values must fit in it
Kind = Literal["number", "level", "text", "words", "date", "left out"]
Place = Callable[[int], str]  # a row's number, from 0, in words


def row_of(row: int) -> str:
    """Where there are no lines."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `kind` is what people are shown: "text" are levels of which most are rare, "words" are texts whose words are read,
    and "left out" has no part in training.
    `why` says how that was seen. `role` is "target", "groups" or "time" where the column is no feature. `asked` says
    whether the caller decided.
    """

    name: str
    kind: Kind
    form: Form
    why: str = ""
    role: Literal["", "target", "groups", "time"] = ""
    asked: bool = False

    @property
    def feature(self) -> bool:
        return self.kind != "left out" and not self.role

    def cells(self, column: pd.Series[Any]) -> Cells:
        """The column's values, and which of them are not as in training."""
        found = self.form.read(as_cells(column))
        if isinstance(self.form, LevelForm) and self.form.padded and column.dtype == object:
            bare = [not isinstance(value, str) and not pd.isna(value) for value in column]  # 1234 beside "K1A0B1"
            return Cells(found.values, found.wrong | np.array(bare, dtype=bool))
        return found

    def read(self, column: pd.Series[Any], place: Place = row_of) -> pd.Series[Any]:
        """The column's values. Raises StudyError: a value that is not as in training, with its place."""
        found = self.cells(column)
        if found.wrong.any():
            row = int(np.flatnonzero(found.wrong)[0])
            value = column.iloc[row]
            raise StudyError(
                f"column {self.name!r} must hold {self.form}, as in training. In {place(int(column.index[row]))} it "
                f"has {value.item() if isinstance(value, np.generic) else value!r}. {self._next()}"
            )
        return found.values

    def with_decimal(self, decimal: str) -> Column:
        """The column with numbers that have another decimal sign."""
        if isinstance(self.form, (DateForm, WordsForm)) or decimal == self.form.decimal:
            return self
        return replace(self, form=replace(self.form, decimal="," if decimal == "," else "."))

    def _next(self) -> str:
        if isinstance(self.form, NumberForm) and self.form.unit:
            return f"Write it with its {self.form.unit}, or leave it empty."
        if isinstance(self.form, NumberForm):
            other = "," if self.form.decimal == "." else "."
            return f"Mend it, leave it empty, or say how numbers are written, as --decimal {other}."
        if isinstance(self.form, DateForm):
            return "Write it like the others, or leave it empty."
        return f"Read the column as text: pandas.read_csv(..., dtype={{{self.name!r}: str}})."


def read_columns(columns: Sequence[Column], frame: pd.DataFrame, place: Place = row_of) -> pd.DataFrame:
    """The features of `columns` as values, by name; other columns of `frame` are left aside.

    Raises StudyError: a column is missing, or a value is not as in training.
    """
    features = [column for column in columns if column.feature]
    _check_names([column.name for column in features], frame)
    numbered = frame.reset_index(drop=True)
    found = {column.name: column.read(numbered[column.name], place) for column in features}
    for column in features:
        if isinstance(column.form, NumberForm):
            _check_range(column.name, found[column.name].to_numpy(dtype=np.float64), place)
    return pd.DataFrame(found, index=numbered.index)


def pixel_columns(names: Sequence[str], frame: pd.DataFrame, place: Place = row_of) -> pd.DataFrame:
    """The columns of images as numbers. Raises StudyError: one is missing, or holds no numbers, or infinite ones."""
    _check_names(names, frame)
    found = frame[list(names)].reset_index(drop=True)
    for name in names:
        if not pd.api.types.is_numeric_dtype(found[name]) or pd.api.types.is_complex_dtype(found[name]):
            raise StudyError(
                f"`predict`: column {name!r} must hold numbers, as in training. It holds {found[name].dtype}."
            )
        if found[name].dtype.kind not in "biu":  # whole numbers and truth values are never too large
            _check_range(name, found[name].to_numpy(dtype=np.float64), place)
    return found


def _check_names(names: Sequence[str], frame: pd.DataFrame) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise StudyError(
            f"`predict`: `X` must have the columns that the network was trained on. Missing: {', '.join(absent)}."
        )
    if frame.columns.has_duplicates:
        doubled = set(frame.columns[frame.columns.duplicated()])
        twice = [name for name in names if name in doubled]
        if twice:
            raise StudyError(f"`predict`: column names must differ. {twice[0]!r} is there twice. Rename one.")


def _check_range(name: str, values: NDArray[np.float64], place: Place) -> None:
    large = np.abs(values) > LARGEST
    if large.any():
        row = int(large.argmax())
        raise StudyError(
            f"`predict`: values must be finite and lie within {LARGEST:g} of 0. Column {name!r} has "
            f"{values[row]:g} in {place(row)}. Mend it, or leave it empty."
        )


def facts_of(column: Column) -> dict[str, Any]:
    """A column as plain data, for a file."""
    form = column.form
    facts: dict[str, Any] = {"name": column.name, "kind": column.kind, "why": column.why}
    if isinstance(form, NumberForm):
        facts |= {"form": "number", "decimal": form.decimal, "grouped": form.grouped, "unit": form.unit}
        facts["truth"] = form.truth
    elif isinstance(form, DateForm):
        facts |= {"form": "date", "format": form.format}
    elif isinstance(form, WordsForm):
        facts |= {"form": "words"}
    else:
        facts |= {"form": "level", "numeric": form.numeric, "decimal": form.decimal, "padded": form.padded}
    return facts


def column_of(facts: dict[str, Any]) -> Column:
    """The column that `facts_of` wrote. Raises KeyError where a fact is missing."""
    form: Form
    if facts["form"] == "number":
        form = NumberForm(facts["decimal"], facts["grouped"], facts["unit"], facts["truth"])
    elif facts["form"] == "date":
        form = DateForm(facts["format"])
    elif facts["form"] == "words":
        form = WordsForm()
    else:
        form = LevelForm(facts["numeric"], facts["decimal"], facts["padded"])
    return Column(facts["name"], facts["kind"], form, facts["why"])
