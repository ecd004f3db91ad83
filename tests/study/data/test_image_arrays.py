"""Images in an `.npz` file, and a torch Dataset as data: shapes, units, sides, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from thinned.study import run_study
from thinned.study.data.dataset import StudyError
from thinned.study.data.source import open_data
from thinned.study.data.torch_dataset import torch_data

DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 256, (60, 5, 6), dtype=np.uint8)
COLOUR = DRAW.integers(0, 256, (60, 5, 6, 3), dtype=np.uint8)
Y = np.arange(60) % 3


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "set.npz", **arrays)
    return path / "set.npz"


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (GREY, (5, 6, 1)),
        (COLOUR, (5, 6, 3)),
        (np.moveaxis(COLOUR, 3, 1), (5, 6, 3)),
        (GREY[..., None], (5, 6, 1)),
        ((COLOUR / 255).astype(np.float32), (5, 6, 3)),
        (COLOUR.astype(np.float64), (5, 6, 3)),
        (COLOUR.astype(np.uint16) * 257, (5, 6, 3)),
    ],
)
def test_images_of_any_layout_and_unit(tmp_path: Path, images: np.ndarray, size: tuple[int, int, int]) -> None:
    data = open_data(saved(tmp_path, X=images, y=Y))
    assert data.image is not None
    assert data.image.size == size
    expected = GREY if size[2] == 1 else COLOUR
    np.testing.assert_allclose(data.features.to_numpy(), expected.reshape(60, -1), atol=1e-3)
    assert data.image.rows("x", images[:2]).shape == (2, expected[0].size)


def test_standardised_values_are_taken_as_they_are(tmp_path: Path) -> None:
    data = open_data(saved(tmp_path, X=(COLOUR / 128.0 - 1).astype(np.float32), y=Y))
    np.testing.assert_allclose(data.features.to_numpy() / 255, (COLOUR / 128.0 - 1).reshape(60, -1), atol=1e-5)


def test_sides_by_their_names(tmp_path: Path) -> None:
    sides = {"train": slice(0, 45), "val": slice(45, 50), "test": slice(50, 60)}
    arrays = {f"{side}_images": COLOUR[rows] for side, rows in sides.items()}
    data = open_data(saved(tmp_path, **arrays, **{f"{side}_labels": Y[rows][:, None] for side, rows in sides.items()}))
    assert data.test is not None
    assert data.test.tolist() == list(range(50, 60))
    keras = {"x_train": GREY[:50], "y_train": Y[:50], "x_test": GREY[50:], "y_test": Y[50:]}
    test = open_data(saved(tmp_path, **keras)).test
    assert test is not None
    assert len(test) == 10


def test_classes_and_quantities(tmp_path: Path) -> None:
    assert open_data(saved(tmp_path, X=GREY, y=Y / 7.0 + np.arange(60))).task == "regression"
    assert open_data(saved(tmp_path, X=GREY, y=np.array(["cat", "dog", "owl"])[Y])).classes == ("cat", "dog", "owl")
    assert open_data(saved(tmp_path, X=GREY, y=Y.astype(np.float64))).classes == (0.0, 1.0, 2.0)
    assert open_data(saved(tmp_path, X=GREY, y=Y), task="regression").task == "regression"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": GREY}, "one array of images and one of labels"),
        ({"X": GREY, "Z": GREY, "y": Y}, "one array of images and one of labels"),
        ({"X": GREY, "y": Y[:50]}, "a label for every image"),
        ({"X": np.where(GREY[7, 0, 0] == GREY, np.nan, GREY / 255.0), "y": Y}, "pixels must be finite"),
        ({"X": DRAW.normal(size=(60, 5, 6, 7)), "y": Y}, "with 1, 3 or 4 channels. Got 60 x 5 x 6 x 7"),
        ({"X": GREY.astype(np.int64) - 9, "y": Y}, "0 to 255, or 0 to 65,535. Got -9 to"),
        ({"X": GREY, "y": np.zeros(60, dtype=int)}, "two classes at least"),
        ({"X": GREY[:30], "y": Y[:30]}, "at least 40 rows"),
    ],
)
def test_what_can_not_be_used_is_said(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as refused:
        open_data(saved(tmp_path, **arrays))
    assert said in str(refused.value)


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = saved(tmp_path, X=GREY, y=Y)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StudyError, match="could not be read"):
        open_data(path, target="y")


class Pairs:
    """A map-style dataset of given items."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number]


def pairs(xs: Any, ys: Any = Y) -> Pairs:
    return Pairs(list(zip(xs, ys, strict=True)))


def test_a_torch_dataset_of_rows_pictures_and_texts() -> None:
    rows = torch_data(TensorDataset(torch.randn(60, 4), torch.from_numpy(Y)))
    assert (rows.features.shape, rows.classes, rows.title) == ((60, 4), (0, 1, 2), "TensorDataset")
    tensors = torch_data(pairs(torch.from_numpy(np.moveaxis(COLOUR, 3, 1) / 255.0)))  # as ToTensor gives them
    assert tensors.image is not None
    assert tensors.image.size == (5, 6, 3)
    np.testing.assert_allclose(tensors.features.to_numpy(), COLOUR.reshape(60, -1), atol=1e-3)
    assert torch_data(pairs([f"text number {n}" for n in range(60)])).words == "text"
    assert torch_data(pairs(torch.randn(60, 3), torch.randn(60))).task == "regression"
    assert torch_data(pairs(torch.randn(60, 3), ["ab"[n % 2] for n in range(60)])).classes == ("a", "b")
    assert torch_data(pairs(torch.randn(60, 3), [n % 2 == 0 for n in range(60)])).classes == (False, True)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Endless(), "this one is iterable. Pass a map-style one"),
        (DataLoader(TensorDataset(torch.ones(2, 2))), "Pass loader.dataset"),
        (Pairs([torch.ones(3)] * 60), "items must be pairs (x, y). Item 0 is Tensor"),
        (Pairs([(1, 2, 3)] * 60), "items must be pairs (x, y). Item 0 is tuple of 3"),
        (pairs([torch.ones(3 + (n == 7)) for n in range(60)]), "Item 0 has (3,), item 7 (4,)"),
        (pairs(torch.ones(60, 3), [{"box": 1}] * 60), "Item 0 has dict. Return one value"),
        (pairs(torch.ones(60, 3), torch.ones(60, 2)), "Item 0 has Tensor of shape (2,). Return one value"),
        (pairs(torch.ones(60, 3), [None] * 60), "Item 0 has NoneType"),
        (pairs(torch.ones(60, 3), [float("nan")] * 60), "y must be finite. Item 0 has nan"),
        (pairs([{"image": 1}] * 60), "x must be numbers or a text. Item 0 is dict"),
        (pairs(torch.full((60, 3), torch.inf)), "x must be finite numbers. Item 0"),
        (pairs(torch.ones(60)), "x must be a row of numbers, a picture or a text. Item 0 has the shape ()"),
        (pairs(["a"] * 59 + [torch.ones(1)]), "x must be of one kind. Item 59 is another"),
        (pairs(torch.ones(20, 3), Y[:20]), "at least 40 rows"),
    ],
)
def test_a_torch_dataset_that_can_not_be_used(data: Any, said: str) -> None:
    with pytest.raises(StudyError) as refused:
        torch_data(data)
    assert said in str(refused.value)


def test_a_torch_dataset_has_no_columns_to_name(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"`target` and `groups`: for a table\. A torch dataset has items"):
        run_study(TensorDataset(torch.ones(60, 3), torch.from_numpy(Y)), target="y", groups="x", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
