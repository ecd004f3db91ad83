"""What a study is about: one table of features, one target, and where they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..error import StudyError as StudyError
from ..record import Task
from .column import Column
from .image_form import ImageForm


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from.

    `y` holds class numbers (int64, indices into `classes`) or target values (float64). `test` names the rows that the
    data's authors set apart for testing, where they did. `pixels` are grey values in 0..255, scaled as one and not
    column by column.

    Rows of equal `groups` number are kept on one side of every cut: they stem from one source, or are copies. Where
    `time` is there, the latest rows are tested on. `notes` are sentences for the report: what was left out or assumed;
    `warnings` are read before any answer.

    Where `stretch` is above 0, rows are places of one running text, in its order, and the class is the next word; so
    many neighbouring test rows are one unit of an interval.

    `columns` say how each column was read, those that are no features too. Where there are none, a study looks at
    `features` itself. `image` is the form of pictures whose pixels `features` are, row by row, channels last.
    """

    title: str
    source: str
    task: Task
    target: str
    features: pd.DataFrame
    y: NDArray[np.int64] | NDArray[np.float64]
    classes: tuple[str | int | bool, ...] = ()
    test: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    time: NDArray[np.float64] | None = None
    pixels: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    image: ImageForm | None = None
    stretch: int = 0

    @property
    def words(self) -> str | None:
        """The column of texts that are read as words."""
        return next((column.name for column in self.columns if column.kind == "words" and column.feature), None)

    @property
    def rows(self) -> int:
        return len(self.y)

    def fingerprint(self) -> str:
        """A digest of every value and name, by which a resumed study knows its data."""
        digest = hashlib.sha256()
        digest.update(repr((self.task, self.target, self.classes, list(self.features.columns))).encode())
        digest.update(np.ascontiguousarray(self.y).tobytes())
        for name, part in (("test", self.test), ("groups", self.groups), ("time", self.time)):
            if part is not None:
                digest.update(b"" if name == "test" else name.encode())
                digest.update(part.tobytes())
        if self.pixels:
            digest.update(self.features.to_numpy().tobytes())
            if self.image is not None and (self.image.channels > 1 or self.image.height != self.image.width):
                digest.update(repr(self.image).encode())
        else:
            digest.update(pd.util.hash_pandas_object(self.features, index=False).to_numpy().tobytes())
        return digest.hexdigest()[:16]


def images(
    title: str,
    source: str,
    pixels: NDArray[Any],
    labels: NDArray[Any],
    test: NDArray[np.int64] | None = None,
    form: ImageForm | None = None,
    **facts: Any,
) -> Dataset:
    """Images, one a row of `pixels` `(rows, height * width * channels)`, with labels.

    Arguments:
        form: of the pictures. None: grey squares.
        facts: further fields of the `Dataset`.
    """
    names, codes = np.unique(labels, return_inverse=True)
    side = round(pixels.shape[1] ** 0.5)
    if form is None and side * side == pixels.shape[1]:
        form = ImageForm(side, side, 1)
    facts = {"target": "label"} | facts
    return Dataset(
        title=title,
        source=source,
        task="classification",
        features=pixel_frame(pixels),
        y=codes.astype(np.int64),
        classes=tuple(names.tolist()),
        test=test,
        pixels=True,
        image=form,
        **facts,
    )


def pixel_frame(pixels: NDArray[Any]) -> pd.DataFrame:
    """Flat pictures as columns."""
    return pd.DataFrame(pixels, columns=[f"pixel_{i}" for i in range(pixels.shape[1])], copy=False)
