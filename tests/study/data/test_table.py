"""What a table's target is taken for."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study.data.dataset import StudyError
from thinned.study.data.table import table
from thinned.study.record import Task


def csv(folder: Path, **columns: Any) -> Path:
    path = folder / "data.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["yes", "no"] * 25, "classification", ("no", "yes")),
        ([True, False] * 25, "classification", (False, True)),
        ([3, 1, 2, 1, 3] * 10, "classification", (1, 2, 3)),
        ([1.0, 2.0, np.nan, 1.0, 2.0] * 10 + [1.0] * 5, "classification", (1, 2)),
        (list(range(50)), "regression", ()),
        ([0.5, 1.5] * 25, "regression", ()),
    ],
)
def test_reads_the_task_from_the_target(
    tmp_path: Path, target: list[Any], task: Task, classes: tuple[Any, ...]
) -> None:
    data = table(csv(tmp_path, x=range(len(target)), t=target), "t")
    assert (data.task, data.classes) == (task, classes)


def test_the_task_can_be_said(tmp_path: Path) -> None:
    data = table(csv(tmp_path, x=range(50), t=[1, 2] * 25), "t", "regression")
    assert data.y.tolist() == [1.0, 2.0] * 25


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    data = table(csv(tmp_path, x=range(50), t=["a", "b"] * 23 + [None] * 4), "t")
    assert data.rows == len(data.features) == 46
    assert "4 of 50 rows have no t and were left out." in data.notes


def test_npz_of_one_matrix_or_of_columns(tmp_path: Path) -> None:
    x, y = np.arange(120.0).reshape(60, 2), np.arange(60) % 2
    np.savez(tmp_path / "matrix.npz", X=x, y=y)
    np.savez(tmp_path / "columns.npz", a=x[:, 0], b=x[:, 1], label=y)
    matrix, columns = table(tmp_path / "matrix.npz", None), table(tmp_path / "columns.npz", "label")
    assert list(matrix.features.columns) == ["X_0", "X_1"]
    assert list(columns.features.columns) == ["a", "b"]
    assert np.array_equal(matrix.features.to_numpy(), columns.features.to_numpy())
    assert np.array_equal(matrix.y, columns.y)


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(50) / 7, "town": ["Ulm", "Bonn"] * 25, "t": ["a", "b"] * 25})
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet")
    one, two = table(tmp_path / "data.csv", "t"), table(tmp_path / "data.parquet", "t")
    assert one.features.equals(two.features)
    assert np.array_equal(one.y, two.y)
    assert one.fingerprint() == two.fingerprint()


def test_the_fingerprint_tells_one_value_apart(tmp_path: Path) -> None:
    target = ["a", "b"] * 25
    one = table(csv(tmp_path, x=list(range(50)), t=target), "t").fingerprint()
    assert one == table(csv(tmp_path, x=list(range(50)), t=target), "t").fingerprint()
    assert one != table(csv(tmp_path, x=[*range(49), 50], t=target), "t").fingerprint()
    assert one != table(csv(tmp_path, x=list(range(50)), t=["b", *target[1:]]), "t").fingerprint()


def test_numbers_with_a_few_unreadable_rows_are_no_text_column(tmp_path: Path) -> None:
    path = csv(tmp_path, x=[*range(49), "4o"], t=["a", "b"] * 25)
    with pytest.raises(
        StudyError, match="column 'x' holds numbers, but 1 of its values are none, the first in row 50: '4o'"
    ):
        table(path, "t")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ({"t": [0.0, 1.0] * 24 + [0.0, np.inf]}, "column 't' has 1 infinite values, the first in row 50"),
        ({"x": [1e300] + [1.0] * 49}, r"values must lie within 1e\+30 of 0. Column 'x' has 1e\+300 in row 1"),
        (
            {"x": [[1, 2]] * 50},
            r"column 'x' must hold one real number or one text a row. It holds \[1, 2\]|array\(\[1, 2\]",
        ),
    ],
)
def test_values_that_cannot_be_learnt_from_are_refused(tmp_path: Path, column: dict[str, Any], text: str) -> None:
    pd.DataFrame({"x": range(50), "t": [0, 1] * 25, **column}).to_parquet(tmp_path / "data.parquet")
    with pytest.raises(StudyError, match=text):
        table(tmp_path / "data.parquet", "t")


def test_files_that_are_not_what_their_names_say_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(9))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(StudyError, match="must be an archive of arrays"):
        table(tmp_path / "one.npz", "y")
    packed = bytearray(gzip.compress(b"x,t\n" + b"1,2\n" * 500))
    packed[20:30] = bytes(10)
    (tmp_path / "data.csv.gz").write_bytes(packed)
    with pytest.raises(StudyError, match="could not be read"):
        table(tmp_path / "data.csv.gz", "t")
    np.savez(tmp_path / "complex.npz", x=np.ones(50) * 1j, y=np.arange(50) % 2)
    with pytest.raises(StudyError, match="It holds complex numbers"):
        table(tmp_path / "complex.npz", "y")
