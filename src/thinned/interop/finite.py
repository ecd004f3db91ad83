"""What the estimators take as numbers: real, finite, within float32; else an error with the column and the row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 1e30  # networks compute in float32, and squares of values must fit in it


def check_kinds(owner: str, argument: str, values: Any) -> None:
    """Raises TypeError: dates, durations or fields, which NumPy would count as numbers."""
    if hasattr(values, "dtypes") and hasattr(values, "columns"):
        kinds = [(f"Column {name!r}", str(kind)) for name, kind in zip(values.columns, values.dtypes, strict=True)]
    elif hasattr(values, "schema") and hasattr(values, "column_names"):  # pyarrow
        kinds = [(f"Column {name!r}", str(values.schema.field(n).type)) for n, name in enumerate(values.column_names)]
    else:
        kinds = [("It", str(getattr(values, "dtype", "")))]
    for where, kind in kinds:
        if kind.lower().startswith(("datetime", "timedelta", "timestamp", "duration", "date", "time", "<m8", "[(")):
            raise TypeError(
                f"`{owner}`: `{argument}` must hold numbers. {where} holds {kind}. Pass numbers, as days since a day."
            )


def check_finite(owner: str, argument: str, values: NDArray[Any], names: Any = None) -> None:
    """Raises ValueError: a number that is NaN, infinite, or too large for float32. Columns have `names`, if there are.

    >>> check_finite("DropoutRegressor.fit", "X", np.array([[1.0, 2.0], [3.0, np.inf]]))
    Traceback (most recent call last):
        ...
    ValueError: Input X contains infinity or a value too large: `DropoutRegressor.fit`: `X` must be finite numbers \
within 1e+30 of 0. Column 1 has inf in row 1, counted from 0. Mend it, fill it in, or leave the row out.
    """
    wrong = ~(np.abs(values) <= LARGEST)
    if not wrong.any():
        return
    place = tuple(int(index[0]) for index in np.nonzero(wrong))
    value = values[place]
    column = "It "
    if len(place) > 1:
        column = f"Column {names[place[1]]!r} " if names is not None else f"Column {place[1]} "
    missing, count = bool(np.isnan(value)), int(wrong.sum())
    more = "" if count == 1 else f", and {count - 1:,} more are like it"
    shown = "NaN" if missing else f"{value:g}"
    first = f"Input {argument} contains {'NaN' if missing else 'infinity or a value too large'}"  # scikit-learn's words
    raise ValueError(
        f"{first}: `{owner}`: `{argument}` must be finite numbers within {LARGEST:g} of 0. {column}has {shown} in row "
        f"{place[0]}, counted from 0{more}. Mend it, fill it in, or leave the row out."
    )
