"""Numbers where they come in, for training and for prediction: kept exactly, or refused by name and row."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
from numpy.typing import NDArray

from thinned.study import Dataset, StudyError
from thinned.study.data.column import pixel_columns, read_columns
from thinned.study.data.fit import fit
from thinned.study.data.forms import LevelForm
from thinned.study.data.learn import learn
from thinned.study.data.sound import check_dataset
from thinned.study.data.source import checked, open_data
from thinned.study.data.table_file import read_table
from thinned.study.keep.arrays import DamagedArraysError, read_arrays
from thinned.study.network.model import EnsembleMember, StudyModel

ROWS = 60
A = np.random.default_rng(0).normal(size=ROWS)
UP = A > 0
BIG = np.where(UP, 2**53, 2**53 + 1)
WORDS = np.where(UP, "up", "down")


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def parquet(folder: Path, **columns: Any) -> Path:
    pd.DataFrame(columns).to_parquet(folder / "data.parquet")
    return folder / "data.parquet"


@pytest.mark.parametrize(
    ("written", "sign"),
    [
        (lambda folder: npz(folder, a=A, y=BIG), ""),
        (lambda folder: npz(folder, a=A, y=BIG.astype(np.uint64)), ""),
        (lambda folder: npz(folder, a=A, y=-BIG), "-"),
        (lambda folder: parquet(folder, a=A, y=BIG), ""),
        (lambda folder: parquet(folder, a=A, y=pd.array(BIG, dtype="Int64")), ""),
        (lambda folder: parquet(folder, a=[*A, 0.0], y=pd.array([*BIG.tolist(), None], dtype="Int64")), ""),
    ],
)
def test_whole_numbers_that_float64_merges_are_classes_of_their_own(
    tmp_path: Path, written: Callable[[Path], Path], sign: str
) -> None:
    data = open_data(written(tmp_path), "y")
    assert data.task == "classification"
    assert set(data.classes) == {f"{sign}{2**53}", f"{sign}{2**53 + 1}"}
    assert np.array_equal(np.array(data.classes)[data.y] == f"{sign}{2**53}", UP)


def test_large_whole_numbers_as_features_are_levels_with_their_digits() -> None:
    values = pd.Series([2**60 + i % 3 for i in range(9)], name="id")
    for given in (values, values.astype("Int64"), values.astype(object), values.astype(str)):
        (column,) = learn(given.to_frame())
        assert column.kind == "level"
        assert set(column.read(given)) == {str(2**60), str(2**60 + 1), str(2**60 + 2)}
    (small,) = learn((values - 2**60 + 2**52).to_frame())
    assert small.kind == "number"


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_numbers_that_floats_merge_are_no_levels(kind: Any) -> None:
    cells = pd.Series([0.5, np.nan, np.inf, -np.inf, 2.0**53, -(2.0**53), 2.0**54, -(2.0**54)], dtype=kind)
    found = LevelForm().read(cells)
    assert found.wrong.tolist() == [False] * 6 + [True] * 2
    assert found.values.tolist()[:2] == ["0.5", None]


def test_a_target_of_classes_asked_for_as_numbers_must_be_told_apart(tmp_path: Path) -> None:
    from thinned.study.data.overrule import WantedColumn

    for y in (BIG, np.where(UP, 2**54, 2**54 + 4)):
        with pytest.raises(StudyError, match=r"classes that numbers tell apart, up to 2\^53"):
            open_data(npz(tmp_path, a=A, y=y), "y", wanted=[WantedColumn.of("y=number")])


def test_quantities_are_told_apart(tmp_path: Path) -> None:
    """Also where the target was read as levels; what is large and told apart is learnt."""
    table = tmp_path / "data.csv"
    for y in (BIG, -BIG, np.arange(ROWS) + 2**60):
        pd.DataFrame({"a": A, "y": y}).to_csv(table, index=False)
        for path in (npz(tmp_path, a=A, y=y), table):
            with pytest.raises(
                StudyError, match=r"must have (values that float64 tells apart.*'y' has|two different values)"
            ):
                open_data(path, "y", task="regression")
    kept = open_data(npz(tmp_path, a=A, y=np.arange(ROWS) * 256 + 2**60), "y", task="regression")
    assert len(np.unique(kept.y)) == ROWS


@pytest.mark.parametrize("kind", [">f8", ">f4", "<f2", np.longdouble, ">i4"])
def test_an_array_of_another_order_or_width_is_the_same_numbers(tmp_path: Path, kind: Any) -> None:
    x = np.arange(2 * ROWS).reshape(ROWS, 2) % 7
    data = open_data(npz(tmp_path, X=x.astype(kind), y=UP.astype(">i2")), "y")
    assert np.array_equal(data.features.to_numpy(dtype=np.float64), x)
    assert data.classes == (0, 1)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": np.zeros((ROWS, 2), dtype="V8"), "y": A}, "'X' holds .V8"),
        (
            {"X": np.zeros(ROWS, dtype=[("a", "f8"), ("b", "i4")]), "y": A},
            "'X' has fields, a, b. Save each as an array",
        ),
        ({"X": np.array([[1, "a"]] * ROWS, dtype=object), "y": A}, "Object arrays cannot be loaded"),
        ({"x": A + 1j, "z": A, "y": WORDS}, "column 'x' must hold one real number"),
        ({"X": np.c_[A, A], "X_0": A, "y": WORDS}, "'X_0' is there twice"),
        ({"X": np.r_[A[1:], np.inf], "y": WORDS}, "column 'X' has 1 infinite values, the first in row 60"),
        ({"X": np.r_[1e39, A[1:]], "y": WORDS}, "Column 'X' has 1e\\+39 in row 1"),
        ({"X": A, "y": np.r_[A[1:], -np.inf]}, "column 'y' has 1 infinite values, the first in row 60"),
        ({"X": A, "y": np.r_[1e39, A[1:]]}, "Column 'y' has 1e\\+39 in row 1"),
        ({"X": A, "y": np.datetime64("2020-01-01") + np.arange(ROWS)}, "'y' holds dates"),
        ({"x": np.array(["12026-01-01"] * ROWS, "M8[s]") + np.arange(ROWS), "z": A, "y": WORDS}, "years 1 to 9999"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0)}, "has no values"),
        ({"X": np.zeros((ROWS, 0)), "y": A}, "there must be a column besides"),
    ],
)
def test_arrays_that_are_no_columns_are_refused_by_name(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    path = npz(tmp_path, **arrays)
    with pytest.raises(StudyError, match=said) as caught:
        open_data(path, "y")
    assert str(path) in str(caught.value) or "column 'x'" in str(caught.value)


@pytest.mark.parametrize("rows", [3 * 10**9, 10**15])
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, rows: int) -> None:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f8", "fortran_order": False, "shape": (rows,)})
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name in ("a", "y"):
            archive.writestr(f"{name}.npy", content.getvalue() + b"few bytes")
    with pytest.raises(StudyError, match=r"data\.npz: could not be read: "):
        open_data(tmp_path / "data.npz", "y")


@pytest.mark.parametrize("first", ["9999-01-01", "1600-01-01", "0001-01-01", "2020-01-01"])
def test_dates_of_any_year_that_python_has(tmp_path: Path, first: str) -> None:
    days = np.datetime64(first, "us") + np.arange(ROWS) * np.timedelta64(3, "D")
    for path in (
        npz(tmp_path, t=days, a=A, y=WORDS),
        parquet(tmp_path, t=pd.Series(days), a=A, y=WORDS),
    ):
        data = open_data(path, "y")
        assert [column.kind for column in data.columns] == ["date", "number", "level"]
        x = fit(data.features)(data.features)
        assert np.isfinite(x).all()
        timed = open_data(path, "y", time="t")
        assert timed.time is not None
        assert (np.diff(timed.time) == 3 * 86_400).all()


def test_the_index_of_a_parquet_file_is_a_column_unless_it_counts_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    frame = pd.DataFrame({"a": A, "y": WORDS})
    left_out = ("The first column, which has no name, numbers the rows and was left out.",)
    nameless = ["__index_level_0__", "__index_level_1__"]
    for index, names, notes in (
        (pd.Index(A * 2, name="heat"), ["heat", "a", "y"], ()),
        (pd.Index(A * 2), [*nameless[:1], "a", "y"], ()),
        (pd.MultiIndex.from_arrays([A, np.arange(ROWS) % 3], names=["k", "l"]), ["k", "l", "a", "y"], ()),
        (pd.MultiIndex.from_arrays([A, np.arange(ROWS) % 3]), [*nameless, "a", "y"], ()),
        (pd.RangeIndex(ROWS), ["a", "y"], ()),
        (pd.Index(np.arange(ROWS) * 2 + 5), ["a", "y"], left_out),
    ):
        frame.set_axis(index).to_parquet(path)
        file = read_table(path)
        assert file.frame.columns.tolist() == names
        assert file.notes == notes


def idx(folder: Path, train: tuple[int, ...], test: tuple[int, ...], classes: int) -> Path:
    for part, shape in (("train", train), ("t10k", test)):
        labels = (np.arange(shape[0]) % classes).astype(np.uint8)
        pixels = np.zeros(shape, dtype=np.uint8)
        for name, values in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", labels)):
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            (folder / name).write_bytes(head + values.tobytes())
    return folder


@pytest.mark.parametrize(
    ("train", "test", "classes", "said"),
    [
        ((0, 4, 4), (0, 4, 4), 2, "must have images with pixels. Got 0 x 4 x 4 and 0 x 4 x 4"),
        ((60, 0, 0), (60, 0, 0), 2, "must have images with pixels"),
        ((60, 4, 4), (0, 4, 4), 2, "must have images with pixels"),
        ((60, 4, 4), (60, 4, 4), 1, "there must be two classes at least. Got 0"),
    ],
)
def test_folders_of_images_without_what_can_be_learnt(
    tmp_path: Path, train: tuple[int, ...], test: tuple[int, ...], classes: int, said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        open_data(idx(tmp_path, train, test, classes))


def dataset(**changed: Any) -> Dataset:
    usual: dict[str, Any] = {
        "features": pd.DataFrame({"a": A, "b": A[::-1]}),
        "y": UP.astype(np.int64),
        "classes": (0, 1),
    }
    return Dataset("mine", "here", changed.pop("task", "classification"), "t", **usual | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y": np.zeros(3, dtype=np.int64)}, r"`y` must have one value a row of `features`, 60. Got the shape \(3,\)"),
        ({"y": UP.astype(np.int64) + 1}, "numbers of classes, whole and from 0 to 1"),
        ({"y": A}, "numbers of classes"),
        ({"classes": (0,), "y": np.zeros(ROWS, dtype=np.int64)}, "two classes at least"),
        ({"classes": (0, 1, 2)}, "every class must have rows beside the test rows. 2 has none"),
        (
            {"task": "regression", "classes": (), "y": np.r_[A[1:], np.nan]},
            "the target 't' must be finite .* in row 60",
        ),
        ({"task": "regression", "classes": (), "y": np.r_[1e39, A[1:]]}, r"It has 1e\+39 in row 1"),
        ({"task": "regression", "classes": (), "y": WORDS}, "`y` must be numbers for regression"),
        ({"features": pd.DataFrame(np.c_[A, A], columns=["a", "a"])}, "'a' is there twice"),
        ({"features": pd.DataFrame({"a": np.r_[np.inf, A[1:]]})}, "Column 'a' has inf in row 1"),
        ({"features": pd.DataFrame({"a": np.r_[np.nan, A[1:]]}), "pixels": True}, "Column 'a' has nan in row 1"),
        ({"features": pd.DataFrame({"a": A, "b": np.r_[A[1:], 1e39]}), "pixels": True}, r"'b' has 1e\+39 in row 60"),
        ({"features": pd.DataFrame({"a": pd.array([None, *range(1, ROWS)], "Int64")}), "pixels": True}, "'a' has nan"),
        ({"features": pd.DataFrame({"a": WORDS}), "pixels": True}, "pixels must be numbers"),
        ({"time": np.r_[A[1:], np.inf]}, "`time` must be finite"),
        ({"test": np.array([60])}, "`test` must be numbers of rows, below 60"),
        ({"groups": np.zeros(2, dtype=np.int64)}, "`groups` must have one value a row"),
    ],
)
def test_data_that_a_caller_made_are_checked_by_name_and_row(changed: dict[str, Any], said: str) -> None:
    checked(dataset())
    with pytest.raises(StudyError, match=said):
        checked(dataset(**changed))


def model() -> StudyModel:
    """A network that passes its first two inputs on."""
    frame = pd.DataFrame({"a": A, "b": A[::-1] * 3})
    preparation = fit(frame)
    weights: dict[str, NDArray[np.float32]] = {
        "linear.0.weight": np.eye(2, dtype=np.float32),
        "linear.0.bias": np.full(2, 50, dtype=np.float32),
        "linear.1.weight": np.array([[1, 100]], dtype=np.float32),
        "linear.1.bias": np.zeros(1, dtype=np.float32),
    }
    member = EnsembleMember(0, 0.1, preparation, weights)
    return StudyModel((member.network((2,), 1, 0.0, 0.0),), (member,), (), 1.0, np.zeros(0), learn(frame))


class Polars:
    """What a frame of another library has in common with pandas."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def to_pandas(self) -> pd.DataFrame:
        return self._frame


class Exchanged:
    """A frame that other libraries read column by column, and that knows nothing of pandas."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._table = pyarrow.Table.from_pandas(frame)

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> Any:
        return self._table.__dataframe__(nan_as_null, allow_copy)


def test_columns_go_by_name_wherever_they_have_one() -> None:
    frame = pd.DataFrame({"a": A[:5], "b": A[5:10]})
    expected, found = model().predict(frame), model()
    turned = frame[["b", "a"]]
    fields = np.array(list(zip(A[5:10], A[:5], strict=True)), dtype=[("b", "f8"), ("a", "f8")])
    named: list[Any] = [turned, pyarrow.Table.from_pandas(turned), pyarrow.RecordBatch.from_pandas(turned)]
    named += [Polars(turned), Exchanged(turned), {"b": A[5:10], "a": A[:5]}, fields, turned.assign(more="x")]
    for given in named:
        assert np.array_equal(found.predict(given), expected)
    assert np.array_equal(found.predict(frame.to_numpy()), expected)
    assert not np.array_equal(found.predict(turned.to_numpy()), expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.assign(a=np.r_[A[1:], np.inf]), "Column 'a' has inf in row 60"),
        (lambda frame: frame.assign(b=np.r_[1e39, A[1:]]), r"Column 'b' has 1e\+39 in row 1"),
        (lambda frame: frame.assign(b=["-inf", *A[1:].astype(str)]), "Column 'b' has -inf in row 1"),
        (lambda frame: frame.assign(a=pd.date_range("2020", periods=ROWS)), "column 'a' must hold numbers"),
        (lambda frame: frame.assign(a=UP), "column 'a' must hold numbers .* In row 1 it has True"),
        (lambda frame: frame.assign(a=A + 0j), "column 'a' must hold one real number"),
        (lambda frame: frame.assign(a=[[1]] * ROWS), "column 'a' must hold one real number"),
        (lambda frame: pd.concat([frame, frame[["a"]]], axis=1), "'a' is there twice"),
        (lambda frame: frame[["a"]], "Missing: b"),
        (lambda frame: frame.to_numpy()[:, :1], "must be rows x 2 columns"),
        (lambda frame: np.full((2, 2), np.datetime64("2020-01-01")), "column 'a' must hold numbers"),
        (lambda frame: np.full((2, 2), np.inf, dtype=np.float32), "Column 'a' has inf in row 1"),
    ],
)
def test_rows_to_predict_are_refused_by_name_and_row(change: Callable[[pd.DataFrame], Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        model().predict(change(pd.DataFrame({"a": A, "b": A[::-1]})))


def test_true_and_false_are_no_other_numbers() -> None:
    (column,) = learn(pd.DataFrame({"a": UP}))
    assert column.read(pd.Series([0, 1.0, np.nan])).tolist()[:2] == [0.0, 1.0]
    with pytest.raises(StudyError, match=r"must hold true or false, as in training\. In row 2 it has 7"):
        read_columns([column], pd.DataFrame({"a": [1, 7]}))


def test_pixels_to_predict_are_finite_numbers() -> None:
    pixels = pd.DataFrame(np.arange(6.0).reshape(3, 2), columns=["pixel_0", "pixel_1"])
    member = EnsembleMember(0, 0.1, fit(pixels, pixels=True), model().members[0].weights)
    found = StudyModel((member.network((2,), 1, 0.0, 0.0),), (member,), (), 1.0, np.zeros(0))
    assert np.array_equal(found.predict(pixels[["pixel_1", "pixel_0"]]), found.predict(pixels.to_numpy()))
    for value, said in (
        (np.inf, "Column 'pixel_1' has inf in row 3"),
        (1e39, r"has 1e\+39 in row 3"),
        ("x", "numbers"),
    ):
        changed = pixels.astype(object if value == "x" else float)
        changed.iloc[2, 1] = value
        with pytest.raises(StudyError, match=said):
            found.predict(changed)


def test_pixels_that_are_whole_numbers_are_checked_without_a_copy_of_them_all() -> None:
    """Of 2 MB as bytes; as float64 they would be 16 MB."""
    rows, size = 2_000, 1_000
    pixels = pd.DataFrame(np.zeros((rows, size), dtype=np.uint8)).rename(columns=str)
    data = Dataset("mine", "here", "classification", "t", pixels, np.arange(rows) % 2, (0, 1), pixels=True)
    for look, most in ((lambda: check_dataset(data), 1), (lambda: pixel_columns(list(pixels.columns), pixels), 6)):
        tracemalloc.start()
        try:
            look()
            assert tracemalloc.get_traced_memory()[1] < most * 2**20
        finally:
            tracemalloc.stop()


class Trap:
    """What leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def test_nothing_that_is_read_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    trap = np.array([Trap(mark)] * ROWS, dtype=object)
    np.savez(tmp_path / "data.npz", a=A, x=trap, y=WORDS)
    (tmp_path / "arrays").mkdir()
    np.savez(tmp_path / "arrays" / "unit-00000000.npz", curve=trap)
    (tmp_path / "arrays" / "bare-00000000.npz").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(StudyError, match="Object arrays cannot be loaded"):
        open_data(tmp_path / "data.npz", "y")
    for name in ("unit-00000000", "bare-00000000"):
        with pytest.raises(DamagedArraysError):
            read_arrays(tmp_path / "arrays", name, 1)
    assert not mark.exists()
