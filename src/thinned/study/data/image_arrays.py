"""An `.npz` file of images: `X` and `y`, or a pair of arrays each for training, validation and test rows."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...plain_text import in_utf8
from ..error import StudyError
from ..record import Task
from .dataset import Dataset, images, pixel_frame
from .image_form import form_of
from .table import MAX_LEVELS, check_classes, check_rows

_SPLIT = {"train": "train", "val": "train", "valid": "train", "validation": "train", "test": "test"}
_LABELS = ("y", "label", "labels", "target", "targets")


def holds_images(path: Path) -> bool:
    """Whether an `.npz` file has an array of three or four axes. Any other file is somebody else's to judge."""
    if path.suffix != ".npz" or not path.is_file():  # a FIFO would be waited for
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_axes(archive, name) >= 3 for name in archive.namelist())
    except Exception:  # a damaged file can raise anything in NumPy, zipfile and zlib: who reads it says what it is
        return False


def _axes(archive: zipfile.ZipFile, name: str) -> int:
    """The number of axes that the head of an array says."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return len(read(file)[0])


def image_arrays(path: Path, target: str | None = None, task: Task | None = None) -> Dataset:
    """Read images and their labels.

    The images are `(N, H, W)` or `(N, H, W, C)`, the labels `(N,)` or `(N, 1)`: whole numbers, truth values and texts
    are classes, floats that are not whole or have more than 20 values are quantities. Arrays whose names begin or end
    with train, val and test, such as `train_images` and `x_test`, are sides; those of test are the test rows.

    Raises StudyError: an array is missing or has another length, shape or kind.
    """
    sides = _sides(path, _arrays(path), target)
    pixels = np.concatenate([side[1] for side in sides])
    labels = np.concatenate([side[2].reshape(len(side[2])) for side in sides])
    tested = np.concatenate([np.full(len(side[2]), side[0] == "test") for side in sides])
    test = np.flatnonzero(tested) if tested.any() and not tested.all() else None
    return from_arrays(
        in_utf8(path.name),
        f"{len(labels):,} images in {in_utf8(path)}",
        pixels,
        labels,
        task,
        test,
        target=target or "y",
    )


def test_images(path: Path) -> NDArray[Any]:
    """The images of a file to predict: those of its test side, or else all. Raises StudyError: sizes differ."""
    arrays = {name: values for name, values in _arrays(path).items() if values.ndim >= 3}
    tested = [name for name in arrays if "test" in name.lower()]
    chosen = [arrays[name] for name in (tested or arrays)]
    if len({values.shape[1:] for values in chosen}) > 1:
        raise StudyError(f"{path}: images must have one size. Got {[values.shape for values in chosen]}.")
    return np.concatenate(chosen)


def from_arrays(
    title: str,
    source: str,
    pixels: NDArray[Any],
    labels: NDArray[Any],
    task: Task | None = None,
    test: NDArray[np.int64] | None = None,
    **facts: Any,
) -> Dataset:
    """Images and what they are to be told by. Raises StudyError: shapes or kinds that can't be used, too few rows."""
    rows, form = form_of(title, pixels)
    own = len(labels) if test is None else len(labels) - len(test)
    check_rows(title, own)
    decided = task or task_of(title, labels)
    note = f"Pictures are {form.height} x {form.width} pixels with {form.channels} " + (
        "channel." if form.channels == 1 else "channels."
    )
    facts = {"notes": (note,)} | facts
    if decided == "classification":
        names, codes = np.unique(labels, return_inverse=True)
        counts = np.bincount(codes if test is None else np.delete(codes, test), minlength=len(names))
        if len(names) < 2:
            raise StudyError(f"{title}: there must be two classes at least. Got {len(names)}.")
        check_classes(title, None if test is None else "the test rows", facts["target"], names, counts)
        return images(title, source, rows, labels, test, form, **facts)
    try:
        values = labels.astype(np.float64)
    except (ValueError, TypeError):
        raise StudyError(f"{title}: targets must be numbers for regression. Got {labels.dtype}.") from None
    return Dataset(
        title=title,
        source=source,
        task="regression",
        features=pixel_frame(rows),
        y=values,
        test=test,
        pixels=True,
        image=form,
        **facts,
    )


def task_of(owner: str, labels: NDArray[Any]) -> Task:
    """What targets say by themselves. Raises StudyError: they are neither classes nor numbers."""
    if labels.dtype.kind in "biuU":
        return "classification"
    if labels.dtype.kind != "f":
        raise StudyError(f"{owner}: targets must be numbers, truth values or text. Got {labels.dtype}. Convert them.")
    whole = bool((labels == np.round(labels)).all())
    return "classification" if whole and len(np.unique(labels)) <= MAX_LEVELS else "regression"


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged file can raise anything in NumPy and zipfile
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StudyError(f"{path}: could not be read: {reason}.") from error


def _sides(
    path: Path, arrays: dict[str, NDArray[Any]], target: str | None
) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Each side's name, images and labels."""
    shapes = {name: values.shape for name, values in arrays.items()}
    by_side: dict[str, tuple[list[str], list[str]]] = {}
    for name, values in arrays.items():
        side = next((word for word in name.lower().replace("-", "_").split("_") if word in _SPLIT), "")
        pair = by_side.setdefault(side, ([], []))
        pair[0 if values.ndim >= 3 else 1].append(name)
    found = []
    for side, (pictures, others) in by_side.items():
        if not pictures:
            continue
        labels = [name for name in others if name == target] if target is not None and not side else others
        if len(labels) > 1:
            labels = [name for name in labels if {*name.lower().split("_")} & {*_LABELS}] or labels
        if len(pictures) != 1 or len(labels) != 1:
            said = f"side {side}" if side else "the file"
            raise StudyError(
                f"{path}: {said} must have one array of images and one of labels, as X and y, or train_images and "
                f"train_labels. Got {shapes}." + (f" There is no {target!r}." if target and not labels else "")
            )
        images_, answers = arrays[pictures[0]], arrays[labels[0]]
        if answers.shape not in ((len(images_),), (len(images_), 1)):
            raise StudyError(
                f"{path}: there must be a label for every image. {pictures[0]} has the shape {images_.shape}, "
                f"{labels[0]} {answers.shape}."
            )
        found.append((_SPLIT.get(side, ""), images_, answers))
    sizes = {images_.shape[1:] for _, images_, _ in found}
    if len(sizes) > 1:
        raise StudyError(f"{path}: images of all sides must have one size. Got {shapes}.")
    return sorted(found, key=lambda side: side[0] == "test")
