"""The one door for a table's file: CSV, TSV, Parquet or NumPy, for training and for prediction."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..error import StudyError
from .overrule import TextForm
from .text_file import read_text

TEXT = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
SUFFIXES = (*TEXT, ".parquet", ".npz")
UNNAMED = "__index_level_0__"
_INDEX = re.compile(r"|Unnamed: 0|__index_level_0__")  # what pandas, and spreadsheets, call a column without a name


@dataclass(frozen=True)
class TableFile:
    """A file's rows as it has them: text as text.

    For text files, `lines` has the line of each row, and `said` how the file was read.
    """

    path: Path
    frame: pd.DataFrame
    form: TextForm
    lines: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    said: str = ""

    @property
    def usual(self) -> bool:
        """Whether nothing was found that a reader must hear of: UTF-8, and a comma between fields."""
        return self.form.sep in (None, ",") and self.form.encoding in (None, "utf-8", "utf-8-sig")

    def place(self, row: int) -> str:
        """Where row number `row`, from 0, stands."""
        return f"row {row + 1} (line {self.lines[row]})" if self.lines else f"row {row + 1}"


def read_table(path: Path, form: TextForm | None = None, features: Container[str] = ()) -> TableFile:
    """Read a table as it stands.

    A first column without a name that numbers the rows is left out, and a note says so; not if it is one of `features`.

    Raises StudyError: no such file, or one that can't be read; with the line where there is one.
    """
    form = form or TextForm()
    if path.exists() and not path.is_file():
        raise StudyError(
            f"{path}: the data must be a regular file or a folder. This is none, as a device or a FIFO. Write what it "
            "gives to a file."
        )
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file. Pass a {', '.join(SUFFIXES)} file or a folder of IDX files.")
    try:
        if path.name.lower().endswith(TEXT):
            found = _from_text(path, form, features)
        else:
            _no_text(path, form)
            frame, notes = _without_index(_read(path), features)
            found = TableFile(path, frame, form, notes=notes)
    except StudyError:
        raise
    except Exception as error:  # a damaged file can raise anything in NumPy, zipfile and pyarrow
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StudyError(f"{path}: could not be read: {reason}.") from error
    twice = found.frame.columns[found.frame.columns.duplicated()]
    if len(twice):
        raise StudyError(f"{path}: column names must differ. {twice[0]!r} is there twice. Rename one.")
    return found


def _from_text(path: Path, form: TextForm, features: Container[str]) -> TableFile:
    text = read_text(path, form)
    columns = list(zip(*text.rows, strict=True)) if text.rows else [()] * len(text.names)
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in zip(text.names, columns, strict=True)}
    )
    first = text.names[0]
    frame, notes = _without_index(frame, features)
    if not notes and not first and first not in features:
        raise StudyError(
            f"{path}: line 1: every column must have a name. Field 1 of {len(text.names)} has none, and does not "
            "number the rows. Name it."
        )
    return TableFile(path, frame, text.form, text.lines, notes, text.said)


def _without_index(frame: pd.DataFrame, features: Container[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table without a first column that only numbers the rows, and a note of it."""
    first = frame.columns[0] if len(frame.columns) else None
    if len(frame.columns) < 2 or not isinstance(first, str) or not _INDEX.fullmatch(first) or first in features:
        return frame, ()
    if not _numbers_rows(tuple(map(str, frame[first]))):
        return frame, ()
    said = "The first column, which has no name," if first in ("", UNNAMED) else first
    return frame.drop(columns=first), (f"{said} numbers the rows and was left out.",)


def _numbers_rows(values: tuple[str, ...]) -> bool:
    """Whole numbers, all different: the index of a table, perhaps of a part of it."""
    return all(value.strip().isdecimal() for value in values) and len(set(values)) == len(values)


def _no_text(path: Path, form: TextForm) -> None:
    given = [f"--{name}" for name in ("sep", "encoding") if getattr(form, name) is not None]
    if given and path.suffix in (".parquet", ".npz"):
        raise StudyError(
            f"{path}: {' and '.join(given)}: for text files. This is none. Leave {' and '.join(given)} out."
        )


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return _with_index(pd.read_parquet(path)).rename(columns=str)
    if path.suffix == ".npz":
        return _read_npz(path).rename(columns=str)
    sheet = " Save the sheet as CSV." if path.suffix.lower() in (".xlsx", ".xls", ".ods") else ""
    raise StudyError(
        f"{path}: a data file must end in one of {', '.join(SUFFIXES)}. Got {path.suffix or path.name!r}.{sheet}"
    )


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows' index as columns, unless it only counts the rows: it may be what a row is known by."""
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    names = [name if name is not None else f"__index_level_{level}__" for level, name in enumerate(frame.index.names)]
    return frame.reset_index(names=names)


def _read_npz(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:  # which np.load leaves open where it fails
        return _of_npz(path, np.load(file, allow_pickle=False))


def _of_npz(path: Path, arrays: Any) -> pd.DataFrame:
    if isinstance(arrays, np.ndarray):
        raise StudyError(f"{path}: must be an archive of arrays, as np.savez writes. It is one array, as of np.save.")
    with arrays:
        found = {name: _plain(path, name, arrays[name]) for name in arrays.files}
    shapes = {name: values.shape for name, values in found.items()}
    lengths = {values.shape[0] for values in found.values() if values.ndim}
    if not found or len(lengths) != 1 or any(values.ndim not in (1, 2) for values in found.values()):
        raise StudyError(
            f"{path}: arrays must have one or two axes and one length, as X (rows x columns) and y. Got {shapes}."
        )
    names: list[str] = []
    columns: list[Any] = []
    for name, values in found.items():
        names += [name] if values.ndim == 1 else [f"{name}_{i}" for i in range(values.shape[1])]
        columns += [values] if values.ndim == 1 else list(values.T)
    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(names)
    return frame


def _plain(path: Path, name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array in this machine's byte order. Raises StudyError: what it holds is no column."""
    if values.dtype.names is not None:
        fields = ", ".join(values.dtype.names)
        raise StudyError(
            f"{path}: an array must hold numbers, dates or text. {name!r} has fields, {fields}. Save each as an array "
            "of its own."
        )
    if values.dtype.kind not in "biufcUSMm":
        raise StudyError(
            f"{path}: an array must hold numbers, dates or text. {name!r} holds {values.dtype}. Convert it, or leave "
            "it out."
        )
    return values.astype(values.dtype.newbyteorder("="))
