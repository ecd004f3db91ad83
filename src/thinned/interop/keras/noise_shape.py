"""Keras's noise shape, as the axes along which one draw is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shared_axes(x: Any, noise_shape: Sequence[Any]) -> tuple[int, ...]:
    """The axes on which the noise shape has another size than x."""
    return tuple(axis for axis, (size, draws) in enumerate(zip(x.shape, noise_shape, strict=True)) if size != draws)
