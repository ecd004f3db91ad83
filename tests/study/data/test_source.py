"""Options that say how a table is cut."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study.data.dataset import StudyError
from thinned.study.data.new_files import new_files
from thinned.study.data.parts import parts, sizes
from thinned.study.data.source import open_data
from thinned.study.data.table_file import read_table

from .tables import csv, frame


@pytest.mark.long
def test_groups_are_no_feature_and_stay_whole(tmp_path: Path) -> None:
    table = frame("breast_cancer")
    table["clinic"] = [f"clinic {i % 23}" for i in range(len(table))]
    data = open_data(csv(tmp_path / "data.csv", table), "target", groups="clinic")
    assert "clinic" not in data.features.columns
    assert "Rows are grouped by clinic (23 groups), which is no feature." in data.notes
    clinic = table["clinic"].to_numpy(dtype=str)
    size = sizes(data)
    for index in range(5):
        part = parts(data, size, 0, index)
        assert not set(clinic[part.train]) & set(clinic[part.test])
        assert not set(clinic[part.val]) & set(clinic[part.test])
        assert not set(clinic[part.train]) & set(clinic[part.val])


@pytest.mark.parametrize("kind", ["number", "date", "instant"])
def test_time_is_no_feature_and_orders_the_rows(tmp_path: Path, kind: str) -> None:
    table = frame("diabetes")
    days = np.random.RandomState(0).permutation(len(table))
    dates = pd.Timestamp("2025-01-01") + pd.to_timedelta(days, unit="D")
    written: dict[str, list[Any]] = {
        "number": list(days),
        "date": list(dates.strftime("%Y-%m-%d")),
        "instant": list(dates.strftime("%Y-%m-%d %H:%M")),
    }
    table["when"] = written[kind]
    data = open_data(csv(tmp_path / "data.csv", table), "target", time="when")
    assert "when" not in data.features.columns
    assert any("a copy of the column under another name would be one" in note for note in data.notes)
    part = parts(data, sizes(data), 0, 0)
    assert sorted(days[part.test]) == list(range(len(table) - len(part.test), len(table)))
    assert days[part.train].max() < days[part.val].min()


def test_the_rows_of_another_file_are_the_test_rows(tmp_path: Path) -> None:
    table = frame("breast_cancer").sample(frac=1, random_state=0)
    own, other = table.iloc[:400], table.iloc[400:]
    data = open_data(
        csv(tmp_path / "data.csv", own),
        "target",
        test=csv(tmp_path / "test.csv", other[list(reversed(other.columns))].assign(more=1)),
    )
    assert data.test is not None
    assert data.test.tolist() == list(range(400, 569))
    expected = other.drop(columns="target").to_numpy()
    assert np.array_equal(data.features.iloc[data.test].to_numpy(), expected)
    assert [data.classes[code] for code in data.y[data.test]] == other["target"].tolist()
    assert sizes(data).test == 169
    assert data.source.startswith("400 rows of")
    assert "tested on 169 rows of" in data.source


def test_a_training_row_that_is_a_test_row_is_found(tmp_path: Path) -> None:
    table = frame("breast_cancer").sample(frac=1, random_state=0)
    data = open_data(
        csv(tmp_path / "data.csv", table.iloc[:420]), "target", test=csv(tmp_path / "test.csv", table.iloc[400:])
    )
    assert (
        "40 of 589 rows are equal to another in every feature; such rows are kept on one side of every cut."
        in data.notes
    )
    size = sizes(data)
    for index in range(5):
        part = parts(data, size, 0, index)
        assert max(*part.train, *part.val) < 400


@pytest.mark.long
def test_the_fingerprint_tells_the_cuts_apart(tmp_path: Path) -> None:
    table = frame("diabetes").assign(a=lambda t: np.arange(len(t)) % 40, b=lambda t: np.arange(len(t)) // 11)
    path = csv(tmp_path / "data.csv", table)
    found = [
        open_data(path, "target", groups="a"),
        open_data(path, "target", groups="b"),
        open_data(path, "target", time="b"),
        open_data(path, "target"),
    ]
    assert len({data.fingerprint() for data in found}) == 4
    assert found[0].fingerprint() == open_data(path, "target", groups="a").fingerprint()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda t: t.drop(columns="malic_acid"),
            r"`--test`: .*test.csv must have the columns of .*Missing: malic_acid",
        ),
        (lambda t: t.assign(alcohol="much"), "column 'alcohol' must hold the same in both files. It holds numbers"),
        (lambda t: t.assign(target=["c9", *t["target"][1:]]), "the classes of .*test.csv must be among.*'c9' is not"),
        (lambda t: t.assign(target=np.nan), "test.csv must have rows with a target"),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused(tmp_path: Path, change: object, text: str) -> None:
    assert callable(change)
    table = frame("wine").sample(frac=1, random_state=0)
    path, other = csv(tmp_path / "data.csv", table.iloc[:120]), csv(tmp_path / "test.csv", change(table.iloc[120:]))
    with pytest.raises(StudyError, match=text):
        open_data(path, "target", test=other)


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    table = frame("wine").assign(day=[*range(177), np.nan], when=[*["2026-01-31"] * 177, "soon"])
    path = csv(tmp_path / "data.csv", table)
    for options, text in (
        ({"groups": "alcohl"}, "`--groups` must name a column of data.csv.*Did you mean 'alcohol'"),
        ({"groups": "target"}, "`--groups`: the column must not be the target"),
        ({"time": "day"}, "`--time`: 'day' must have a value in every row. 1 have none, the first is row 178"),
        ({"time": "when"}, "`--time`: 'when' must hold numbers, or dates as 2026-01-31.*Row 178 has 'soon'"),
        ({"time": "alcohol", "groups": "ash"}, "`--time` must be given alone.*Got --time with --groups.*Leave one out"),
        ({"time": "alcohol", "test": path}, "`--time` must be given alone.*Got --time with --test"),
    ):
        with pytest.raises(StudyError, match=text):
            open_data(path, "target", **options)
    with pytest.raises(StudyError, match="`--groups`: for a data file, not for images"):
        open_data(None, groups="a")


@pytest.mark.skipif(os.name == "nt", reason="FIFOs of POSIX")
@pytest.mark.parametrize("name", ["d.csv", "d.npz", "d.parquet", "d.tsv.gz"])
def test_what_is_no_file_is_neither_waited_for_nor_read_without_end(tmp_path: Path, name: str) -> None:
    """A FIFO to which nobody writes, and a link to a device that has no end."""
    os.mkfifo(tmp_path / name)
    (tmp_path / f"link-{name}").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / f"link-{name}"):
        with pytest.raises(StudyError, match=r"must be a regular file or a folder\. This is none"):
            open_data(path, "y")
        assert new_files(path, None) is None
        with pytest.raises(StudyError, match=r"must be a regular file or a folder\. This is none"):
            read_table(path)
