"""A user's table: a CSV, Parquet or NumPy file and the name of its target column."""

from __future__ import annotations

import csv
import difflib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..record import Task
from .columns import appended
from .dataset import Dataset, StudyError

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".npz")
MIN_ROWS = 40  # fewer cannot be split into training, validation and test rows that mean anything
MIN_CLASS_ROWS = 4  # one for each of the three, and one to spare
MAX_LEVELS = 20  # a whole-number target with more values than this is a quantity, not a class
LARGEST = 1e30  # networks compute in float32, and squares of values must fit in it
# pandas before 3.1 gets the last bit of some numbers wrong unless it is asked not to; later ones deprecate the request.
EXACT: dict[str, Any] = (
    {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
)
STRAY = 0.1  # a text column in which fewer values than this share are no numbers is a number column with faults


def table(path: Path, target: str | None, task: Task | None = None, test: Path | None = None) -> Dataset:
    """Read a table and look at its target.

    Arguments:
        path: a `.csv`, `.csv.gz`, `.parquet` or `.npz` file. An `.npz` file holds `X` (rows x columns) and `y`, or one
            array a column.
        target: the column to predict; `y` for an `.npz` file unless said otherwise.
        task: "classification" or "regression"; None decides by the target: text, truth values and at most 20 different
            whole numbers are classes, other numbers are quantities.

    Raises StudyError: no such file or column, unreadable rows, a target without values or with one value, too few rows.
    """
    frame = read(path)
    if target is None:
        target = "y" if path.suffix == ".npz" else None
    columns = ", ".join(str(name) for name in frame.columns[:20]) + (", ..." if len(frame.columns) > 20 else "")
    if target is None:
        raise StudyError(f"{path}: say which column to predict with --target COLUMN. The columns are: {columns}.")
    if target not in frame.columns:
        close = difflib.get_close_matches(target, [str(name) for name in frame.columns], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise StudyError(
            f"{path}: `--target` must name a column. There is no {target!r}.{hint} The columns are: {columns}."
        )
    if frame.columns.duplicated().any():
        twice = frame.columns[frame.columns.duplicated()][0]
        raise StudyError(f"{path}: column names must differ. {twice!r} is there twice. Rename one.")

    own = np.ones(len(frame), dtype=bool)  # which rows are this table's, not the test table's
    if test is not None:
        frame = appended(frame, read(test), str(path), str(test))
        own = np.arange(len(frame)) < len(own)
    notes: list[str] = []
    known = frame[target].notna()
    if not known.any():
        raise StudyError(f"{path}: the target {target!r} has no values: all {len(frame)} are missing.")
    if not known.all():
        notes.append(f"{int((~known).sum())} of {len(frame)} rows have no {target} and were left out.")
        frame, own = frame[known], own[known]
    features = frame.drop(columns=target).reset_index(drop=True)
    answer = frame[target].reset_index(drop=True)
    if features.shape[1] == 0:
        raise StudyError(f"{path}: there must be a column besides the target {target!r}. There is none.")
    if own.sum() < MIN_ROWS:
        raise StudyError(f"{path}: a study needs at least {MIN_ROWS} rows with a target. Got {int(own.sum())}.")
    if test is not None and own.all():
        raise StudyError(f"`--test`: {test} must have rows with a {target}. It has none.")
    for name in frame.columns:
        _check_column(path, frame[name])

    if answer.nunique() == 1:
        raise StudyError(
            f"{path}: the target {target!r} must have two different values at least. All {len(answer)} are "
            f"{answer.tolist()[0]!r}."
        )
    decided = task or _task(answer)
    if task is None:
        other = "regression" if decided == "classification" else "classification"
        if pd.api.types.is_numeric_dtype(answer) and not pd.api.types.is_bool_dtype(answer):
            notes.append(f"{target} was read as {decided}; --task {other} reads it the other way.")
    common: dict[str, Any] = {
        "title": path.name,
        "source": f"{int(own.sum()):,} rows of {path}"
        + ("" if test is None else f", tested on {int((~own).sum()):,} rows of {test}"),
        "target": target,
        "features": features,
        "test": None if test is None else np.flatnonzero(~own),
        "notes": tuple(notes),
    }
    if decided == "regression":
        values = pd.to_numeric(answer, errors="coerce").to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            bad = answer[~np.isfinite(values)].iloc[0]
            raise StudyError(f"{path}: a regression target must be finite numbers. {target!r} has {bad!r}.")
        return Dataset(task="regression", y=values, **common)
    names, codes = np.unique(_labels(answer), return_inverse=True)
    counts = np.bincount(codes[own], minlength=len(names))
    if (counts == 0).any():
        raise StudyError(
            f"`--test`: the classes of {test} must be among those of {path}. {names.tolist()[int(counts.argmin())]!r} "
            "is not. Leave such rows out."
        )
    rare = [(name, int(n)) for name, n in zip(names.tolist(), counts, strict=True) if n < MIN_CLASS_ROWS]
    if rare:
        raise StudyError(
            f"{path}: every class of {target!r} needs at least {MIN_CLASS_ROWS} rows. {rare[0][0]!r} has {rare[0][1]}"
            + (f", and {len(rare) - 1} more classes have too few" if len(rare) > 1 else "")
            + ". Leave such rows out, join classes, or pass --task regression for a quantity."
        )
    return Dataset(task="classification", y=codes.astype(np.int64), classes=tuple(names.tolist()), **common)


def read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file. Pass a {', '.join(SUFFIXES)} file or a folder of IDX files.")
    try:
        if path.name.endswith((".csv", ".csv.gz")):
            frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **EXACT)
        elif path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".npz":
            frame = _read_npz(path)
        else:
            raise StudyError(
                f"{path}: a data file must end in one of {', '.join(SUFFIXES)}. Got {path.suffix or path.name!r}."
            )
    except StudyError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        csv.Error,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:  # pandas' and pyarrow's are ValueErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StudyError(f"{path}: could not be read: {reason}.") from error
    return frame.rename(columns=str)


def _read_npz(path: Path) -> pd.DataFrame:
    arrays = np.load(path, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        raise StudyError(f"{path}: must be an archive of arrays, as np.savez writes. It is one array, as of np.save.")
    with arrays:
        found = {name: arrays[name] for name in arrays.files}
    shapes = {name: values.shape for name, values in found.items()}
    lengths = {values.shape[0] for values in found.values() if values.ndim}
    if not found or len(lengths) != 1 or any(values.ndim not in (1, 2) for values in found.values()):
        raise StudyError(
            f"{path}: arrays must have one or two axes and one length, as X (rows x columns) and y. Got {shapes}."
        )
    columns: dict[str, np.ndarray] = {}
    for name, values in found.items():
        if values.ndim == 1:
            columns[name] = values
        else:
            columns.update({f"{name}_{i}": values[:, i] for i in range(values.shape[1])})
    return pd.DataFrame(columns)


def _check_column(path: Path, column: pd.Series) -> None:
    """Refuse what cannot be learnt from: nested, complex, infinite, huge or unreadable values."""
    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return
    nested = column.map(lambda value: isinstance(value, (list, dict, set, tuple, np.ndarray)))
    if nested.any() or pd.api.types.is_complex_dtype(column):
        found = repr(column[nested].iloc[0]) if nested.any() else "complex numbers"
        raise StudyError(
            f"{path}: column {column.name!r} must hold one real number or one text a row. It holds {found}. "
            "Spread it over columns of its own."
        )
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(values)
        if infinite.any():
            row = int(np.flatnonzero(infinite)[0]) + 1
            raise StudyError(
                f"{path}: column {column.name!r} has {int(infinite.sum())} infinite values, the first in row {row}. "
                "Mend them, or leave them empty: empty values are filled in."
            )
        if (np.abs(values) > LARGEST).any():
            row = int(np.flatnonzero(np.abs(values) > LARGEST)[0]) + 1
            raise StudyError(
                f"{path}: values must lie within {LARGEST:g} of 0. Column {column.name!r} has {values[row - 1]:g} in "
                f"row {row}. Scale the column, or leave the value empty."
            )
        return
    filled = column.dropna()
    if filled.empty or pd.api.types.is_datetime64_any_dtype(column):
        return
    stray = pd.to_numeric(filled, errors="coerce").isna()
    if 0 < stray.sum() <= STRAY * len(filled):
        first = stray[stray].index[0]
        raise StudyError(
            f"{path}: column {column.name!r} holds numbers, but {int(stray.sum())} of its values are none, the first "
            f"in row {int(first) + 1}: {column[first]!r}. Mend them, or leave them empty: gaps are filled."
        )


def _task(answer: pd.Series) -> Task:
    if not pd.api.types.is_numeric_dtype(answer) or pd.api.types.is_bool_dtype(answer):
        return "classification"
    values = answer.to_numpy(dtype=np.float64)
    whole = bool(np.all(values == np.round(values)))
    return "classification" if whole and answer.nunique() <= MAX_LEVELS else "regression"


def _labels(answer: pd.Series) -> np.ndarray:
    """Class names as plain Python kinds: truth values, whole numbers, or text."""
    if pd.api.types.is_bool_dtype(answer):
        return answer.to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(answer):
        values = answer.to_numpy(dtype=np.float64)
        if np.all(values == np.round(values)):
            return values.astype(np.int64)
    return answer.astype(str).to_numpy(dtype=str)
