"""Launches of the kernels. A kernel that was compiled once is called without Triton's look at its arguments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import kernels
from .arrange import DROP, Launch, arranged

TYPES = {torch.float32, torch.float64, torch.bfloat16, torch.float16}
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}  # a fused product and sum would be rounded once, not twice
_FORMS: dict[str, Any] = {"run": kernels.run, "axes": kernels.axes}
_compiled: dict[tuple[Any, ...], Any] = {}

Key = int | Tensor  # a number, or one int64 on the device of the data


def noise_into(
    y: Tensor,
    x: Tensor,
    residual: Tensor | None,
    key: Key,
    law: int,
    numbers: tuple[int, float, float, float],
    positions: tuple[int, ...],
    base: int,
) -> None:
    """Write noise on `x`, plus the residual if there is one, to `y`, which may be `x`.

    Arguments:
        y, x, residual: tensors of one shape, type and device, of any strides; no two elements of `y` share memory.
        law, numbers: DROP with its level below 65536, gain, shift and fill; GAUSSIAN with (0, sigma, 0, 0); or UNIFORM.
        positions, base: the strides of positions and their start, modulo 2**64.
    """
    r = x if residual is None else residual
    addresses = y.data_ptr() | x.data_ptr() | r.data_ptr()
    launches = arranged(
        law, x.shape, y.stride(), x.stride(), r.stride(), positions, base, x.element_size(), not addresses % 16
    )
    loaded = isinstance(key, Tensor)
    level, gain, shift, fill = numbers
    if loaded:
        words = key.reshape(1).view(torch.int32)  # type: ignore[union-attr]
        low = high = 0
    else:
        words = y
        low, high = _signed(key & 0xFFFFFFFF), _signed(key >> 32 & 0xFFFFFFFF)  # type: ignore[operator]
    law_numbers = (low, high, _signed(level << 16), gain, shift, fill)
    choices = (law, loaded, residual is not None, bool(shift))
    for launch in launches:
        tensors = (y, x, r, words) if launch.starts == (0, 0, 0) else (*map(_from, (y, x, r), launch.starts), words)
        _launch(launch, tensors, (*launch.counts, *law_numbers, *launch.geometry), (*choices, *launch.constants))


def _launch(launch: Launch, tensors: tuple[Tensor, ...], numbers: tuple[Any, ...], constants: tuple[Any, ...]) -> None:
    y, words = tensors[0], tensors[3]
    # What Triton compiles for: types, constants, and which addresses are multiples of 16.
    kind = (launch.form, y.dtype, y.device, words.dtype, constants, *[each.data_ptr() % 16 == 0 for each in tensors])
    compiled = _compiled.get(kind)
    if compiled is not None:
        compiled[(launch.programs, 1, 1)](*tensors, *numbers, *constants)
        return
    compiled = _FORMS[launch.form][(launch.programs,)](*tensors, *numbers, *constants, **OPTIONS)
    if compiled is not None:  # the interpreter compiles nothing
        _compiled[kind] = compiled


def _from(tensor: Tensor, start: int) -> Tensor:
    """One element of a tensor's memory, `start` elements behind its first."""
    return tensor.as_strided((1,), (1,), tensor.storage_offset() + start)


def _signed(word: int) -> int:
    """The signed 32-bit number that has the bits of an unsigned one."""
    return (word + 2**31) % 2**32 - 2**31


__all__ = ["DROP", "OPTIONS", "TYPES", "Key", "noise_into"]
