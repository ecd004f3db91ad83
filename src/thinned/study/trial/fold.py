"""What one seed's runs train on: prepared arrays, on disk between the preparing and the training processes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fold:
    """Training, validation and test rows as the network takes them.

    `y_*` are class numbers (int64), or for regression standardised values (float32) with the training rows' `mean` and
    `scale`. `outputs` is the number of classes, or 0 for regression. `val_rows` and `test_rows` are the rows' numbers
    in the data. Where `words` is above 0, the last `length` inputs are word numbers below it.
    Where `stretch` is, too, the class is the next word, and so many neighbouring test rows are one unit of an interval.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64] | NDArray[np.float32]
    x_val: NDArray[np.float32]
    y_val: NDArray[np.int64] | NDArray[np.float32]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64] | NDArray[np.float32]
    val_rows: NDArray[np.int64]
    test_rows: NDArray[np.int64]
    outputs: int
    mean: float = 0.0
    scale: float = 1.0
    words: int = 0
    length: int = 0
    stretch: int = 0

    def save(self, path: Path) -> None:
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Fold:
        with np.load(path) as arrays:
            found: dict[str, Any] = dict(arrays)
        scalars: dict[str, Any] = {name: int(found[name]) for name in ("outputs", "words", "length", "stretch")}
        scalars |= {name: float(found[name]) for name in ("mean", "scale")}
        return cls(**(found | scalars))
