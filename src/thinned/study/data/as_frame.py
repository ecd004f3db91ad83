"""Rows as callers have them, as a DataFrame: by name wherever the columns have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from ..error import StudyError


def as_frame(X: Any, columns: Sequence[str]) -> pd.DataFrame:  # noqa: N803 - scikit-learn's name
    """`X` by the names of its columns, or if it has none in the order of `columns`.

    Names are those of DataFrames of pandas and polars, tables of pyarrow, mappings from names to columns, and arrays
    with fields; and frames of other libraries that have `__dataframe__`.

    Raises StudyError: another number of columns, or no rows and columns at all.
    """
    if isinstance(X, pd.DataFrame):
        return X
    if isinstance(X, Mapping):
        return pd.DataFrame(dict(X))
    if callable(getattr(X, "to_pandas", None)):
        found = X.to_pandas()
        if isinstance(found, pd.DataFrame):
            return found
    if hasattr(X, "__dataframe__"):  # by pyarrow: pandas warns of its own way that it will go
        from pyarrow.interchange import from_dataframe

        return cast("pd.DataFrame", from_dataframe(X).to_pandas())
    values = np.asarray(X)
    if values.dtype.names is not None and values.ndim == 1:
        return pd.DataFrame({name: values[name] for name in values.dtype.names})
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise StudyError(
            f"`predict`: `X` must be rows x {len(columns)} columns. Got an array of shape {values.shape}. "
            + ("For one row pass X[None]." if values.shape == (len(columns),) else "")
        )
    return pd.DataFrame(values, columns=list(columns))
