"""Whether a `Dataset` that a caller made holds what a study can learn from: lengths, kinds, finite numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...plain_text import in_utf8
from .column import LARGEST, row_of
from .dataset import Dataset, StudyError


def check_dataset(data: Dataset) -> None:
    """Raises StudyError: the first thing that is wrong, by its name and row."""
    rows = len(data.features)
    for name, part in (("y", data.y), ("groups", data.groups), ("time", data.time)):
        if part is not None and np.shape(part) != (rows,):
            raise _fault(
                data, f"`{name}` must have one value a row of `features`, {rows}. Got the shape {np.shape(part)}"
            )
    names = data.features.columns
    if names.has_duplicates:
        raise _fault(data, f"column names must differ. {names[names.duplicated()][0]!r} is there twice")
    for name in (data.title, data.source, data.target, *names, *data.classes):
        if in_utf8(name) != str(name):
            raise _fault(data, f"names must be text in UTF-8. Got {in_utf8(name)}")
    if data.test is not None and len(data.test):
        test = np.asarray(data.test)
        if test.dtype.kind not in "iu" or test.min() < 0 or test.max() >= rows:
            raise _fault(data, f"`test` must be numbers of rows, below {rows}")
    _check_target(data)
    if data.time is not None:
        _check_numbers(data, "`time`", np.asarray(data.time, dtype=np.float64))
    if data.pixels:
        for name in names:
            if not pd.api.types.is_numeric_dtype(data.features[name]):
                raise _fault(data, f"pixels must be numbers. Column {name!r} holds {data.features[name].dtype}")
        _check_pixels(data)


def _check_target(data: Dataset) -> None:
    y = np.asarray(data.y)
    if data.task == "regression":
        if y.dtype.kind not in "iuf":
            raise _fault(data, f"`y` must be numbers for regression. Got {y.dtype}")
        _check_numbers(data, f"the target {data.target!r}", y.astype(np.float64))
        return
    if y.dtype.kind not in "iu" or (len(y) and (y.min() < 0 or y.max() >= len(data.classes))):
        raise _fault(data, f"`y` must be numbers of classes, whole and from 0 to {len(data.classes) - 1}")
    if len(data.classes) < 2:
        raise _fault(data, f"there must be two classes at least. Got {', '.join(map(repr, data.classes)) or 'none'}")
    own = y if data.test is None else np.delete(y, data.test)
    absent = [name for number, name in enumerate(data.classes) if not (own == number).any()]
    if absent and len(own):
        raise _fault(data, f"every class must have rows beside the test rows. {absent[0]!r} has none")


def _check_pixels(data: Dataset) -> None:
    for name in data.features.columns:
        column = data.features[name]
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biu":  # all are finite, and no copy is made
            continue
        values = column.to_numpy(dtype=np.float64)
        wrong = ~(np.abs(values) <= LARGEST)
        if wrong.any():
            row = int(wrong.argmax())
            raise _fault(data, f"pixels must be finite. Column {name!r} has {values[row]} in {row_of(row)}")


def _check_numbers(data: Dataset, what: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    wrong = ~(np.abs(values) <= LARGEST)
    if wrong.any():
        row = int(wrong.argmax())
        raise _fault(
            data, f"{what} must be finite numbers within {LARGEST:g} of 0. It has {values[row]} in {row_of(row)}"
        )


def _fault(data: Dataset, what: str) -> StudyError:
    return StudyError(f"{in_utf8(data.title)}: {what}. Mend it, or leave it out.")
