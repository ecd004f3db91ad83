"""What a study is about: one table of features, one target, and where they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..error import StudyError as StudyError
from ..record import Task
from .column import Column


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from.

    `y` holds class numbers (int64, indices into `classes`) or target values (float64). `test` names the rows that the
    data's authors set apart for testing, where they did. `pixels` are grey values in 0..255, scaled as one and not
    column by column.

    Rows of equal `groups` number are kept on one side of every cut: they stem from one source, or are copies. Where
    `time` is there, the latest rows are tested on. `notes` are sentences for the report: what was left out or assumed;
    `warnings` are read before any answer.

    `columns` say how each column was read, those that are no features too. Where there are none, a study looks at
    `features` itself.
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
        else:
            digest.update(pd.util.hash_pandas_object(self.features, index=False).to_numpy().tobytes())
        return digest.hexdigest()[:16]


def images(
    title: str,
    source: str,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    test: NDArray[np.int64] | None = None,
) -> Dataset:
    """Grey images, one a row of `pixels` `(rows, height * width)`, with whole-number labels."""
    names, codes = np.unique(labels, return_inverse=True)
    columns = [f"pixel_{i}" for i in range(pixels.shape[1])]
    return Dataset(
        title=title,
        source=source,
        task="classification",
        target="label",
        features=pd.DataFrame(pixels, columns=columns, copy=False),
        y=codes.astype(np.int64),
        classes=tuple(int(name) for name in names),
        test=test,
        pixels=True,
    )
