"""A torch `Dataset` in Python as the data of a study: items `(x, y)`, read once."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ...plain_text import in_utf8
from ..error import StudyError
from ..record import Task
from .column import Column
from .dataset import Dataset
from .forms import NumberForm, WordsForm
from .image_arrays import from_arrays, task_of
from .table import check_classes, check_rows

TARGET, TEXT = "y", "text"


def torch_data(found: Any, task: Task | None = None) -> Dataset:
    """The rows of a map-style dataset, in their order.

    x is a tensor, an array, a picture of Pillow, a list of numbers or a text: one axis is a row of a table, two or
    three are a picture (a tensor's channels first), a text is read as words. y is a class (a whole number, a truth
    value, a text) or a number (a float).

    Raises StudyError: an iterable dataset, items that are no pairs, x of different shapes or of no such kind, y that is
    neither a class nor a number.
    """
    owner = type(found).__name__
    if isinstance(found, torch.utils.data.DataLoader):
        raise _fault(owner, "a study reads a dataset, not its loader", "Pass loader.dataset")
    if isinstance(found, torch.utils.data.IterableDataset) or not hasattr(found, "__len__"):
        raise _fault(
            owner,
            "a study draws its rows anew for every seed, so it needs a dataset with a length and items by number; this "
            "one is iterable",
            "Pass a map-style one, such as a list of its items",
        )
    xs, ys = [], []
    for number in range(len(found)):
        item = found[number]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            said = f"{type(item).__name__} of {len(item)}" if isinstance(item, (tuple, list)) else type(item).__name__
            raise _fault(owner, f"items must be pairs (x, y). Item {number} is {said}", "Return x and y")
        xs.append(_plain(owner, number, item[0]))
        ys.append(_answer(owner, number, item[1]))
    check_rows(owner, len(xs))
    kinds = {type(y) for y in ys}
    if str in kinds and len(kinds) > 1:
        raise _fault(owner, "y must be of one kind. Got texts and numbers", "Make them alike")
    labels = np.array(ys)
    texts = [isinstance(x, str) for x in xs]
    if any(texts):
        if not all(texts):
            raise _fault(owner, f"x must be of one kind. Item {texts.index(not texts[0])} is another", "Make it alike")
        frame = pd.DataFrame({TEXT: pd.Series(xs, dtype=object)})
        return _table(owner, frame, labels, task, (Column(TEXT, "words", WordsForm(), "texts"),))
    shapes = [x.shape for x in xs if not isinstance(x, str)]
    other = next((number for number, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise _fault(
            owner,
            f"x must have one shape. Item 0 has {tuple(shapes[0])}, item {other} {tuple(shapes[other])}",
            "Resize or pad them",
        )
    values = np.stack([x for x in xs if not isinstance(x, str)])
    if values.ndim in (3, 4):
        return from_arrays(owner, f"{len(xs):,} items of {owner}", values, labels, task, target=TARGET)
    if values.ndim != 2 or not values.shape[1]:
        raise _fault(
            owner,
            f"x must be a row of numbers, a picture or a text. Item 0 has the shape {tuple(shapes[0])}",
            "Give it one to three axes",
        )
    frame = pd.DataFrame(values, columns=[f"x{column}" for column in range(values.shape[1])])
    return _table(
        owner, frame, labels, task, tuple(Column(str(name), "number", NumberForm(), "numbers") for name in frame)
    )


def _table(
    owner: str, frame: pd.DataFrame, labels: NDArray[Any], task: Task | None, columns: tuple[Column, ...]
) -> Dataset:
    decided = task or task_of(owner, labels)
    facts: dict[str, Any] = {
        "title": owner,
        "source": f"{len(frame):,} items of {owner}",
        "target": TARGET,
        "features": frame,
        "columns": columns,
    }
    if decided == "regression":
        if labels.dtype.kind not in "iuf":
            raise _fault(owner, f"y must be numbers for regression. Got {labels.dtype}", "Pass task='classification'")
        return Dataset(task="regression", y=labels.astype(np.float64), **facts)
    names, codes = np.unique(labels, return_inverse=True)
    check_classes(owner, None, TARGET, names, np.bincount(codes))
    return Dataset(task="classification", y=codes.astype(np.int64), classes=tuple(names.tolist()), **facts)


def _plain(owner: str, number: int, x: Any) -> NDArray[Any] | str:
    if isinstance(x, str):
        return in_utf8(x)
    if isinstance(x, torch.Tensor):
        values = x.detach().cpu()
        if values.dtype in (torch.bfloat16, torch.float16):
            values = values.float()
        if values.is_sparse:
            values = values.to_dense()
        values = values.movedim(0, -1) if values.ndim == 3 else values
        array: NDArray[Any] = values.numpy()
    else:
        try:
            array = np.asarray(x)
        except (ValueError, TypeError) as error:
            raise _fault(owner, f"x must be numbers or a text. Item {number}: {error}", "Return a tensor") from None
    if array.dtype.kind not in "biuf":
        raise _fault(
            owner, f"x must be numbers or a text. Item {number} is {type(x).__name__}", "Return a tensor or a text"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _fault(owner, f"x must be finite numbers. Item {number} has one that is not", "Mend it")
    return array


def _answer(owner: str, number: int, y: Any) -> bool | int | float | str:
    one = y.numel() == 1 if isinstance(y, torch.Tensor) else isinstance(y, (np.ndarray, np.generic)) and y.size == 1
    if one:
        y = y.item()
    if isinstance(y, str):
        return in_utf8(y)
    if isinstance(y, bool):
        return y
    if isinstance(y, Real):
        value = int(y) if isinstance(y, int) else float(y)
        if not np.isfinite(value):
            raise _fault(owner, f"y must be finite. Item {number} has {value}", "Leave it out")
        return value
    shape = f" of shape {tuple(y.shape)}" if hasattr(y, "shape") else ""
    raise _fault(
        owner,
        f"y must be one class (a whole number, a truth value or a text) or one number. Item {number} has "
        f"{type(y).__name__}{shape}",
        "Return one value",
    )


def _fault(owner: str, what: str, step: str) -> StudyError:
    return StudyError(f"`run_study`: {owner}: {what}. {step}.")
