"""Rows that stand twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from thinned.study.data.dataset import Dataset
from thinned.study.data.overrule import WantedColumn
from thinned.study.data.source import open_data
from thinned.study.data.twins import twins_together

from .tables import dataset

WORDS = np.array(["tea", "cup", "box", "dog", "taste", "again", "never", "buy", "with", "salt"])


def doubled(rows: int = 30) -> Dataset:
    """Breast cancer, with the first rows once more at the end, five of them with another class."""
    data = dataset("breast_cancer")
    y = np.concatenate([data.y, data.y[:rows]])
    y[-5:] = 1 - y[-5:]
    features = pd.concat([data.features, data.features.iloc[:rows]], ignore_index=True)
    return replace(data, features=features, y=y)


def test_copies_are_one_group_each_and_counted() -> None:
    data = twins_together(doubled())
    assert data.groups is not None
    assert np.array_equal(data.groups[:30], data.groups[-30:])
    assert len(np.unique(data.groups)) == 569
    assert data.notes == (
        "60 of 599 rows are equal to another in every feature; such rows are kept on one side of every cut.",
        "10 of these rows have twins with other classes: no model can be right about all of them.",
    )


def test_without_copies_nothing_is_said() -> None:
    data = dataset("breast_cancer")
    assert twins_together(data) is data


def test_missing_values_are_equal_and_a_column_of_numbers_does_not_count() -> None:
    data = doubled()
    features = data.features.assign(id=np.arange(data.rows))
    features.iloc[0, 3] = features.iloc[569, 3] = np.nan
    assert twins_together(replace(data, features=features)).groups is None
    found = twins_together(replace(data, features=features), ("id",))
    assert found.groups is not None
    assert found.groups[0] == found.groups[569]


def test_copies_join_the_groups_that_they_stand_in() -> None:
    data = doubled()
    groups = np.arange(data.rows) // 10
    found = twins_together(replace(data, groups=groups)).groups
    assert found is not None
    # Rows 569 to 598 stand in groups 56 to 59, and are copies of groups 0 to 2: a chain, so all of these are one.
    joined = np.isin(groups, [0, 1, 2, 56, 57, 58, 59])
    assert len(np.unique(found[joined])) == 1
    assert len(np.unique(found[~joined])) == 53


def test_columns_of_few_values_make_no_copies() -> None:
    rng = np.random.RandomState(0)
    features = pd.DataFrame({name: rng.randint(0, 2, 400) for name in "abcdefgh"})
    data = Dataset("t", "s", "classification", "y", features, rng.randint(0, 2, 400), (0, 1))
    found = twins_together(data)
    assert found.groups is None
    assert "no sign of copies" in found.notes[0]


def test_time_keeps_copies_where_they_are() -> None:
    data = doubled()
    found = twins_together(replace(data, time=np.arange(data.rows, dtype=np.float64)))
    assert found.groups is None
    assert "stay where their time puts them" in found.notes[0]


def test_images_are_compared_too() -> None:
    data = dataset("digits")
    features = pd.concat([data.features, data.features.iloc[:7]], ignore_index=True).astype(np.uint8)
    data = replace(data, features=features, y=np.concatenate([data.y, data.y[:7]]), pixels=True)
    found = twins_together(data).groups
    assert found is not None
    assert np.array_equal(found[:7], found[-7:])


def test_long_texts_that_stand_twice_are_copies_and_short_ones_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    long = [" ".join(rng.choice(WORDS, 20)) for _ in range(400)]
    short = [" ".join(rng.choice(WORDS[:3], 3)) for _ in range(400)]
    for number, (texts, copies) in enumerate(((long + long[:6], True), (short, False), (long + short, False))):
        rows = pd.DataFrame({"review": texts, "stars": ["good", "bad"] * (len(texts) // 2)})
        rows.to_csv(tmp_path / f"{number}.csv", index=False)
        data = open_data(tmp_path / f"{number}.csv", target="stars", wanted=(WantedColumn.of("review=text"),))
        assert data.words == "review"
        said = " ".join(data.notes)
        if copies:
            assert "12 of 406 rows are equal to another in every feature; such rows are kept on one" in said
            assert data.groups is not None
            assert np.array_equal(data.groups[:6], data.groups[-6:])
        else:
            assert "with such columns that comes by chance, so it is no sign of copies" in said
            assert data.groups is None
