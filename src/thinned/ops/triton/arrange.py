"""The memory of a call as the kernels see it: few axes, the form of the kernel, and what is constant in its code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

from ..philox import signed

DROP, GAUSSIAN, UNIFORM = range(3)  # the laws, as the kernels number them
BLOCKS = 256  # that a program makes; two a thread
MOST_AXES = 4
_VECTOR = 16  # bytes of one access to memory
_MOST = 2**31


class Axis(NamedTuple):
    """An axis: its length, and its strides in the output, the input, the residual, and of positions."""

    size: int
    y: int
    x: int
    r: int
    p: int


class Launch(NamedTuple):
    """One launch of a kernel."""

    form: str  # the kernel's name
    programs: int
    counts: tuple[int, ...]  # the arguments behind the addresses
    geometry: tuple[int, ...]  # the arguments behind the law
    constants: tuple[int | bool, ...]  # the arguments in capitals from WIDTH on
    starts: tuple[int, int, int]  # how far into the output, the input and the residual it begins


@lru_cache(maxsize=1024)
def arranged(
    law: int,
    shape: tuple[int, ...],
    y: tuple[int, ...],
    x: tuple[int, ...],
    r: tuple[int, ...],
    positions: tuple[int, ...],
    base: int,
    itemsize: int,
    aligned: bool,
) -> tuple[Launch, ...]:
    """The launches for noise on tensors of these strides: one, but for more than four axes that can't be merged.

    Arguments:
        law: DROP, GAUSSIAN or UNIFORM.
        shape: the shape of all tensors.
        y, x, r: the strides of the output, the input and the residual, in elements.
        positions, base: the strides and the start of the positions, modulo 2**64.
        itemsize: bytes of an element.
        aligned: whether all addresses are multiples of 16.
    """
    if 0 in shape:
        return ()
    lanes = 8 if law == DROP else 4
    axes = merged(shape, y, x, r, positions)
    width = max(1, min(lanes, _VECTOR // itemsize))
    run = not axes or (len(axes) == 1 and axes[0].y == axes[0].x == axes[0].r == axes[0].p == 1)
    if run and aligned and base % lanes == 0:
        count = prod(shape)
        programs = -(count // -(lanes * BLOCKS))
        return (Launch("run", programs, (count, signed(base // lanes)), (), (width, BLOCKS), (0, 0, 0)),)
    return tuple(_launches(axes, base, lanes, width if aligned else 1))


def merged(
    shape: Sequence[int], y: Sequence[int], x: Sequence[int], r: Sequence[int], positions: Sequence[int]
) -> list[Axis]:
    """The axes in the order of the output's memory, neighbours as one axis where every stride allows it.

    >>> merged((2, 3, 4), (12, 4, 1), (12, 4, 1), (12, 4, 1), (4, 0, 1))
    [Axis(size=2, y=12, x=12, r=12, p=4), Axis(size=3, y=4, x=4, r=4, p=0), Axis(size=4, y=1, x=1, r=1, p=1)]
    >>> merged((2, 3, 4), (12, 4, 1), (12, 4, 1), (12, 4, 1), (12, 4, 1))
    [Axis(size=24, y=1, x=1, r=1, p=1)]
    """
    axes = [Axis(*axis) for axis in zip(shape, y, x, r, (step % 2**64 for step in positions), strict=True)]
    axes = sorted((axis for axis in axes if axis.size > 1), key=lambda axis: (-axis.y, -axis.x))
    found: list[Axis] = []
    for axis in axes:
        if found and all(outer == inner * axis.size for outer, inner in zip(found[-1][1:], axis[1:], strict=True)):
            axis = axis._replace(size=axis.size * found.pop().size)
        found.append(axis)
    return found


def _launches(axes: list[Axis], base: int, lanes: int, width: int) -> list[Launch]:
    """Launches of the kernel for any strides."""
    beside = max((number for number, axis in enumerate(axes) if axis.p == 1), key=lambda n: axes[n].size, default=None)
    if beside is None:  # no two positions are neighbours: every value has a block of its own
        axes = [Axis(1, 0, 0, 0, 1), *axes]
        beside = 0
    if len(axes) > MOST_AXES:
        outer = 0 if beside else 1
        axis = axes.pop(outer)
        found = []
        for index in range(axis.size):
            for launch in _launches(list(axes), (base + index * axis.p) % 2**64, lanes, width):
                y, x, r = (at + index * step for at, step in zip(launch.starts, axis[1:4], strict=True))
                found.append(launch._replace(starts=(y, x, r)))
        return found
    along = axes[beside]
    others = [axis for number, axis in enumerate(axes) if number != beside]
    whole = along.size % lanes == 0 and not (base % lanes or any(axis.p % lanes for axis in others))
    steps = {step for axis in others for step in axis[1:4]}
    vectors = whole and width > 1 and along[1:4] == (1, 1, 1) and not any(step % lanes for step in steps)
    # A group that is not whole may begin before the axis, by up to a block but one.
    groups = along.size // lanes if whole else -((along.size + lanes - 1) // -lanes)
    furthest = max(sum((axis.size - 1) * axis[which] for axis in axes) for which in (1, 2, 3))
    unit = lanes if vectors else 1
    sizes = [groups if number == beside else axis.size for number, axis in enumerate(axes)]
    strides = [
        [1 if vectors and number == beside else axis[which] // unit for number, axis in enumerate(axes)]
        for which in (1, 2, 3)
    ]
    places = [0 if number == beside else signed(axis.p) for number, axis in enumerate(axes)]
    front = MOST_AXES - len(axes)
    total = prod(sizes)
    padded = [1] * front + sizes
    return [
        Launch(
            "axes",
            -(total // -BLOCKS),
            (total, signed(base), along.size),
            (*padded[1:], *(step for row in (*strides, places) for step in [0] * front + row)),
            (
                width if vectors else 1,
                BLOCKS,
                len(axes),
                front + beside,
                whole,
                strides[0] == strides[1] == strides[2],
                max(furthest + lanes, total + BLOCKS) >= _MOST,
            ),
            (0, 0, 0),
        )
    ]
