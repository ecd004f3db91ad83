"""Launches of the kernels. A kernel that was compiled once is called without Triton's look at its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from ..cpu import Constants
from ..philox import signed
from . import kernels
from .arrange import DROP, Launch, arranged

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
    level, gain, shift, fill = numbers
    # A key that is a number needs no memory: in the place of its address there is another.
    where, number = (key, 0) if isinstance(key, Tensor) else (y, signed(key))
    law_numbers = (number, _high(level), gain, shift, fill)
    choices = (law, where is not y, residual is not None, bool(shift))
    for launch in launches:
        tensors = (y, x, r, where) if launch.starts == (0, 0, 0) else (*map(_from, (y, x, r), launch.starts), where)
        _launch(launch, tensors, (*launch.counts, *law_numbers, *launch.geometry), (*choices, *launch.constants))


def _launch(launch: Launch, tensors: tuple[Tensor, ...], numbers: tuple[Any, ...], constants: tuple[Any, ...]) -> None:
    y, where = tensors[0], tensors[3]
    # What Triton compiles for: types, constants, and which addresses are multiples of 16.
    kind = (launch.form, y.dtype, y.device, where.dtype, constants, *[each.data_ptr() % 16 == 0 for each in tensors])
    compiled = _compiled.get(kind)
    if compiled is not None:
        compiled[(launch.programs, 1, 1)](*tensors, *numbers, *constants)
        return
    compiled = _FORMS[launch.form][(launch.programs,)](*tensors, *numbers, *constants, **OPTIONS)
    if compiled is not None:  # the interpreter compiles nothing
        _compiled[kind] = compiled


class Ready(NamedTuple):
    """A drop that was launched once: `call(y, x, x, y, *counts, key, *rest)` does it again.

    It serves tensors of the same shape, strides, type and device, at multiples of 16 bytes.
    """

    call: Callable[..., object]
    counts: tuple[int, ...]
    rest: tuple[Any, ...]
    constants: Constants


def ready(y: Tensor, x: Tensor, constants: Constants) -> Ready | None:
    """The drop of `noise_into` in a form for many calls; None where it is not one launch of a compiled kernel, or where
    an address is no multiple of 16 bytes."""
    if (y.data_ptr() | x.data_ptr()) % 16:
        return None
    level, gain, shift, fill, positions, base = constants
    strides = (y.stride(), x.stride(), x.stride())
    launches = arranged(DROP, x.shape, *strides, positions, base, x.element_size(), True)
    if len(launches) != 1:
        return None
    launch = launches[0]
    choices = (DROP, False, False, bool(shift), *launch.constants)
    compiled = _compiled.get((launch.form, y.dtype, y.device, y.dtype, choices, *[True] * 4))
    if compiled is None:
        return None
    rest = (_high(level), gain, shift, fill, *launch.geometry, *choices)
    return Ready(compiled[(launch.programs, 1, 1)], launch.counts, rest, constants)


def _from(tensor: Tensor, start: int) -> Tensor:
    """One element of a tensor's memory, `start` elements behind its first."""
    return tensor.as_strided((1,), (1,), tensor.storage_offset() + start)


def _high(level: int) -> int:
    """The signed 32-bit number whose upper half is the level."""
    return (level if level < 2**15 else level - 2**16) << 16
