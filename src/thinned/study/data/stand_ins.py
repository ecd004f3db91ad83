"""Numbers that stand for a missing value, as -999 among ages: named before training, since nothing else tells them."""

from __future__ import annotations

import numpy as np
import pandas as pd

_NUMBERS = tuple(sign * (10.0**digits - 1) for digits in range(2, 8) for sign in (-1, 1))  # 99, -99, 999, ...
_ROWS, _SHARE = 3, 0.005  # in fewer rows it may be a value


def stand_ins(features: pd.DataFrame) -> list[str]:
    """A sentence for each column of numbers with such a value: further from all others than these from each other."""
    found = []
    for name, column in features.items():
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        values = column.dropna().to_numpy(dtype=np.float64)
        others = values[~np.isin(values, _NUMBERS)]
        if len(others) < _ROWS:
            continue
        low, high = others.min(), others.max()
        for number in _NUMBERS:
            rows = int((values == number).sum())
            gap = max(low - number, number - high)
            if rows >= max(_ROWS, _SHARE * len(values)) and gap > high - low:
                found.append(
                    f"{name} is {number:.0f} in {rows:,} of {len(features):,} rows, and from {low:g} to {high:g} in "
                    "the others. It is used as a number; if it means that a value is missing, leave these cells empty."
                )
    return found
