"""Preprocessing: the same numbers as the scikit-learn pipeline that they come from."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study.data.dataset import StudyError
from thinned.study.data.fit import fit, transformer
from thinned.study.data.prepare import numbers, texts


def mixed(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(50, 10, rows)),
            "town": rng.choice(np.array(["Ulm", "Bonn", "Kiel", None], dtype=object), rows),
            "count": rng.integers(0, 9, rows),
            "smoker": rng.random(rows) < 0.5,
            "rare": ["a"] * (rows - 2) + ["b", "c"],
            "constant": 3.0,
            "empty": np.nan,
            "day": pd.date_range("2020-01-01", periods=rows, freq="D"),
        }
    )


def test_gives_what_scikit_learn_gives() -> None:
    frame = mixed().drop(columns=["empty", "day"])
    found = fit(frame)
    assert found.texts == ("town", "rare")
    pipeline = transformer(len(found.numbers), len(found.texts))
    columns = [numbers(frame, found.numbers).astype(object), texts(frame, found.texts)]
    expected = pipeline.fit_transform(np.concatenate(columns, axis=1)).astype(np.float64)
    got = found(frame)
    assert got.shape == (60, found.inputs)
    gaps = len(found.numbers)
    assert np.array_equal(got[:, gaps], frame["age"].isna())
    assert np.delete(got, gaps, axis=1) == pytest.approx(expected, abs=1e-5)


def test_a_date_is_its_parts_that_vary_each_standardised() -> None:
    days = pd.Series(pd.date_range("2025-12-01", periods=60, freq="31h"))
    days = days.where(days.index != 7)
    found = fit(pd.DataFrame({"day": days}))
    assert found.dates == (("day", ("year", "month", "weekday", "hour", "days")),)
    since = (days - pd.Timestamp("2025-12-01")) / pd.Timedelta(days=1)
    when = days.dt
    parts = {"year": when.year, "month": when.month, "weekday": when.day_of_week, "hour": when.hour, "days": since}
    expected = pd.DataFrame(parts).astype(float)
    expected = expected.fillna(expected.median())
    expected = (expected - expected.mean()) / expected.std(ddof=0)
    got = found(pd.DataFrame({"day": days}))
    assert got[:, :5] == pytest.approx(expected.to_numpy(), abs=1e-5)
    assert np.array_equal(got[:, 5], days.isna())  # one input says that there is none
    assert got.shape == (60, found.inputs) == (60, 6)
    within = fit(pd.DataFrame({"day": pd.date_range("2026-01-01", "2026-01-31")}))
    assert within.dates == (("day", ("weekday", "days")),)


def test_a_number_that_did_not_vary_is_no_input_whatever_comes() -> None:
    found = fit(mixed())
    place = found.numbers.index("constant")
    assert (found(mixed().assign(constant=[3.0] * 30 + [1e9] * 30))[:, place] == 0).all()


def test_a_column_without_values_is_a_constant_input() -> None:
    found = fit(mixed())
    assert np.isfinite(found(mixed())).all()
    assert (found(mixed())[:, found.numbers.index("empty")] == 0).all()


def test_predicts_from_missing_and_unknown_values() -> None:
    found = fit(mixed())
    new = mixed(3).assign(age=np.nan, town="Atlantis", rare="z", count=[1, 2, 3])
    inputs = found(new)
    assert np.isfinite(inputs).all()
    town = inputs[:, len(found.mean) + len(found.gaps) :][:, : len(found.levels[0])]
    assert (town == 0).all()
    assert (inputs[:, -1] == 1).all()  # an unknown level of a column with rare levels is one of them


def test_columns_may_come_in_any_order_and_be_more() -> None:
    found = fit(mixed())
    shuffled = mixed()[list(reversed(mixed().columns))].assign(extra=1)
    assert np.array_equal(found(mixed()), found(shuffled))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="age"), "Missing: age"),
        (lambda f: f.assign(age="old"), "'age' must hold numbers"),
    ],
)
def test_says_what_is_wrong_with_new_rows(change: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        fit(mixed())(change(mixed()))


def test_pixels_are_scaled_as_one() -> None:
    frame = pd.DataFrame(np.array([[0, 255], [51, 102]], dtype=np.uint8), columns=["a", "b"])
    assert fit(frame, pixels=True)(frame) == pytest.approx(np.array([[0, 1], [0.2, 0.4]]))
