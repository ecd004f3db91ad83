"""What the estimators take as numbers: by name where there are names, finite, and no dates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor

A = np.random.default_rng(0).normal(size=(40, 2))
FRAME = pd.DataFrame(A, columns=["a", "b"])
CLASSES = (A[:, 0] > 0).astype(int)
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_epochs": 1, "early_stopping": False, "random_state": 0}


def put(value: Any, column: str = "b") -> pd.DataFrame:
    changed = FRAME.copy()
    changed.loc[3, column] = value
    return changed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (put(np.inf), "infinity .*Column 'b' has inf in row 3"),
        (put(-np.inf, "a"), "infinity .*Column 'a' has -inf in row 3"),
        (put(np.nan), "NaN: .*Column 'b' has NaN in row 3, counted from 0. Mend it"),
        (put(1e39), r"Column 'b' has 1e\+39 in row 3"),
        (put(1e39).to_numpy(), r"Column (1|.b.) has 1e\+39 in row 3"),
        (FRAME.assign(b=pd.date_range("2020", periods=40)), "Column 'b' holds datetime64"),
        (FRAME.assign(b=pd.to_timedelta(np.arange(40), unit="D")), "Column 'b' holds timedelta64"),
        (A.astype("M8[s]"), r"holds datetime64\[s\]"),
        (np.zeros(40, dtype=[("a", "f8"), ("b", "f8")]), "must hold numbers"),
        (A + 1j, "Complex data"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_is_no_number_is_refused_with_its_place(given: Any, said: str) -> None:
    fitted = DropoutClassifier(**OPTIONS).fit(FRAME, CLASSES)
    calls: list[Callable[[], object]] = [
        lambda: fitted.predict(given),
        lambda: fitted.uncertainty(given),
        lambda: DropoutClassifier(**OPTIONS).fit(given, CLASSES),
        lambda: DropoutRegressor(**OPTIONS).fit(given, A[:, 0]),
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError), match=said):
            call()


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "Input y contains NaN: .*in row 5"), (np.inf, "Input y contains infinity .*inf in row 5"),
     (1e39, r"`y` must be finite numbers within 1e\+30 of 0. It has 1e\+39 in row 5")],
)  # fmt: skip
def test_targets_are_finite(value: float, said: str) -> None:
    y = A[:, 0].copy()
    y[5] = value
    with pytest.raises(ValueError, match=said):
        DropoutRegressor(**OPTIONS).fit(A, y)
    with pytest.raises(TypeError, match="`y` must hold numbers"):
        DropoutRegressor(**OPTIONS).fit(A, np.datetime64("2020-01-01") + np.arange(40))


def test_tables_go_by_name_and_whole_numbers_stay_apart() -> None:
    import pyarrow

    big = np.where(CLASSES > 0, 2**53, 2**53 + 1)
    fitted = DropoutClassifier(**OPTIONS).fit(FRAME, big)
    assert fitted.classes_.tolist() == [2**53, 2**53 + 1]
    table = pyarrow.Table.from_pandas(FRAME)
    assert np.array_equal(fitted.predict(table), fitted.predict(FRAME))
    for turned in (FRAME[["b", "a"]], table.select(["b", "a"])):
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(turned)
