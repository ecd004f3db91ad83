"""The form of pictures in training, and arrays of pictures brought into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..error import StudyError

BYTE = 255.0
CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ImageForm:
    """Height, width and channels of pictures; `unit`: what a value of 1 in an array of floats is, of 255."""

    height: int
    width: int
    channels: int
    unit: float = 1.0

    @property
    def size(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    def rows(self, owner: str, pixels: Any) -> NDArray[Any]:
        """Pictures of this form as flat rows of values in 0..255.

        Raises StudyError: another size, or values that are no finite numbers.
        """
        array = channels_last(owner, np.asarray(pixels))
        if array.shape[1:] != self.size:
            raise StudyError(
                f"{owner}: pictures must be {' x '.join(map(str, self.size))} (height, width, channels), as in "
                f"training. Got {' x '.join(map(str, array.shape[1:]))}. Resize them."
            )
        return as_bytes(owner, array, self.unit).reshape(len(array), -1)


def form_of(owner: str, pixels: Any) -> tuple[NDArray[Any], ImageForm]:
    """Pictures as flat rows of values in 0..255, and their form.

    Whole numbers are 0 to 255, or 0 to 65,535. Floats are 0 to 255 where none is below 0 and one is above 2; others are
    taken as they are, such as 0 to 1.

    Raises StudyError: no two pictures or no pixels, or values that are no finite numbers.
    """
    array = channels_last(owner, np.asarray(pixels))
    unit = 1.0
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))[0])
            raise StudyError(f"{owner}: pixels must be finite numbers. Picture {row + 1} has one that is not. Mend it.")
        unit = 1.0 if array.min() >= 0 and 2.0 < array.max() <= BYTE else BYTE
    height, width, channels = map(int, array.shape[1:])
    form = ImageForm(height, width, channels, unit)
    return as_bytes(owner, array, unit).reshape(len(array), -1), form


def channels_last(owner: str, array: NDArray[Any]) -> NDArray[Any]:
    """`(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)` as `(N, H, W, C)`. Raises StudyError for other shapes."""
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and array.shape[3] not in CHANNELS and array.shape[1] in CHANNELS:
        array = np.moveaxis(array, 1, 3)
    if array.ndim != 4 or array.shape[3] not in CHANNELS or 0 in array.shape:
        raise StudyError(
            f"{owner}: pictures must be (N, height, width) or (N, height, width, channels) with 1, 3 or 4 channels. "
            f"Got {' x '.join(map(str, array.shape))}."
        )
    return array


def as_bytes(owner: str, array: NDArray[Any], unit: float) -> NDArray[Any]:
    """Values of which 255 is the most: whole numbers stay as they are, 16 bits are made 8."""
    if array.dtype.kind == "b":
        return (array * np.uint8(BYTE)).astype(np.uint8)
    if array.dtype.kind in "iu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if array.dtype == np.uint8 or (low >= 0 and high <= BYTE):
            return array.astype(np.uint8)
        if low >= 0 and high <= 65_535:
            return (array / 257.0).astype(np.float32)
        raise StudyError(f"{owner}: whole-number pixels must be 0 to 255, or 0 to 65,535. Got {low} to {high}.")
    if array.dtype.kind != "f":
        raise StudyError(f"{owner}: pixels must be numbers. Got {array.dtype}. Convert them.")
    return (array * unit).astype(np.float32)
