"""What is suspicious about the columns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study.data.dataset import Dataset, StudyError
from thinned.study.data.suspicion import number_ids, suspicions, without_text_ids

from .tables import Name, dataset


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes", "digits"])
def test_plain_tables_give_nothing_away(name: Name) -> None:
    assert not [text for text in suspicions(dataset(name)) if "gives" in text]


def with_column(name: Name, values: Any) -> Dataset:
    data = dataset(name)
    return replace(data, features=data.features.assign(extra=values))


def given_away(data: Dataset) -> bool:
    return any(text.startswith("extra alone gives target away") for text in suspicions(data))


def test_a_column_that_gives_the_class_away() -> None:
    y = dataset("breast_cancer").y
    noise = np.random.RandomState(0).uniform(0, 0.5, len(y))
    assert given_away(with_column("breast_cancer", y))
    assert given_away(with_column("breast_cancer", np.where(y == 1, np.nan, noise)))  # missing wherever it is benign
    assert given_away(with_column("breast_cancer", y + noise))
    assert given_away(with_column("breast_cancer", np.where(y == 1, "done", "open")))
    assert given_away(with_column("digits", [f"code {7 * digit % 10}" for digit in dataset("digits").y]))
    assert given_away(with_column("digits", 7 * dataset("digits").y % 10))
    assert not given_away(with_column("breast_cancer", y + 2 * noise * (np.arange(len(y)) % 20 == 0) * 4))


def test_the_sentence_has_its_figures() -> None:
    data = with_column("breast_cancer", dataset("breast_cancer").y)
    (text,) = suspicions(data)
    assert "fitted on 284 rows, is wrong on 0 of 285 others, where the most frequent class is wrong on " in text


def test_a_column_that_gives_the_quantity_away() -> None:
    y = dataset("diabetes").y
    noise = np.random.RandomState(0).normal(0, 1, len(y))
    assert given_away(with_column("diabetes", y / 7 - 3))
    assert given_away(with_column("diabetes", np.log(y)))
    assert given_away(with_column("diabetes", y + 0.5 * noise))
    assert not given_away(with_column("diabetes", y + 20 * noise))


def test_numbered_rows_and_constant_columns_are_said() -> None:
    data = dataset("wine")
    features = data.features.assign(id=np.random.RandomState(0).permutation(178) + 1000, same=3, town="Ulm")
    data = replace(data, features=features)
    assert number_ids(data) == ["id"]
    one, two = suspicions(data)
    assert one.startswith("id numbers the rows: all values differ")
    assert two == "same and town have the same value in all 178 rows and tell nothing."


def test_sorted_rows_that_are_numbered_give_the_class_away() -> None:
    """Wine is sorted by class: then a number of the row tells the class."""
    assert given_away(with_column("wine", np.arange(178)))


def test_text_that_names_the_rows_is_left_out() -> None:
    data = with_column("wine", [f"bottle {i}" for i in range(178)])
    found = without_text_ids(data)
    assert "extra" not in found.features.columns
    assert found.notes == ("extra names the rows (178 different texts in 178 rows) and was left out.",)
    assert without_text_ids(with_column("wine", [f"town {i % 60}" for i in range(178)])).notes == ()
    with pytest.raises(StudyError, match="extra only names the rows"):
        without_text_ids(replace(data, features=pd.DataFrame({"extra": data.features["extra"]})))


@pytest.mark.parametrize("number", [-999, 9999, -9999.0, 999])
def test_numbers_that_may_stand_for_a_gap_are_said(number: float) -> None:
    data = dataset("wine")
    ages = np.random.RandomState(0).uniform(18, 90, 178).round()
    said = suspicions(replace(data, features=data.features.assign(age=np.where(np.arange(178) % 9, ages, number))))
    assert any(text.startswith(f"age is {number:.0f} in 20 of 178 rows, and from ") for text in said)
    for values in (ages, np.where(np.arange(178) % 9, ages, 99), np.where(np.arange(178) % 90, ages, number)):
        said = suspicions(replace(data, features=data.features.assign(age=values)))
        assert not [text for text in said if text.startswith("age is")]
