"""Where values lie in a noise field: positions are logical and global, never a memory offset.

Position i is the row-major index in the global noise shape, in which broadcast axes have size 1. A placement is that
rule compiled once: one stride an axis (0 where one draw is shared) and a base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .argument import AXES, check


@dataclass(frozen=True, slots=True)
class Placement:
    """Position of element `index` = `base + sum(index[axis] * strides[axis])`, modulo 2**64."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    base: int

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of the draws: `shape` with 1 on every shared axis."""
        return tuple(size if stride else 1 for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def dense(self) -> bool:
        """Whether the draws are one unbroken run of positions, in order, from `base`."""
        expected = 1
        for size, stride in zip(reversed(self.noise_shape), reversed(self.strides), strict=True):
            if size > 1 and stride != expected:
                return False
            expected *= size
        return True

    def positions(self) -> NDArray[np.uint64]:
        """The position of every draw, uint64, in `noise_shape`."""
        total = np.full((1,) * len(self.shape), self.base % 2**64, dtype=np.uint64)
        for axis, (size, stride) in enumerate(zip(self.noise_shape, self.strides, strict=True)):
            steps = np.arange(size, dtype=np.uint64) * np.uint64(stride % 2**64)
            total = total + steps.reshape([-1 if i == axis else 1 for i in range(len(self.shape))])
        return total


def place(
    shape: Sequence[int],
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    step: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
) -> Placement:
    """Compile "a block of this shape, here, with these axes shared" into strides.

    Arguments:
        shape: the block's shape.
        broadcast_dims: axes along which one draw is shared; negative axes count from the end.
        offset: where the block starts in the whole, one number an axis; all 0 by default. Along a shared axis it
            changes nothing.
        step: how far apart in the whole two neighbours of the block lie, one number an axis; all 1 by default.
        global_shape: the whole's shape, for a block that is a shard of it; by default the block is the whole.

    Raises:
        ValueError: an axis out of range or named twice, a block that does not lie inside the whole, or a whole of more
            than 2**64 draws.

    >>> place((4, 3), broadcast_dims=[0]).strides
    (0, 1)
    >>> place((2, 3), offset=(2, 0), global_shape=(4, 3)).base
    6
    >>> place((2, 3), offset=(1, 0), step=(2, 1), global_shape=(4, 3)).strides
    (6, 1)
    """
    sizes = tuple(shape)
    rank = len(sizes)
    whole = sizes if global_shape is None else tuple(global_shape)
    start = (0,) * rank if offset is None else tuple(offset)
    apart = (1,) * rank if step is None else tuple(step)
    if len(whole) != rank or len(start) != rank or len(apart) != rank:
        raise ValueError(
            f"`place`: `offset`, `step` and `global_shape` must have one number for each of the {rank} axes of "
            f"{sizes}. Got {start}, {apart} and {whole}. Name every axis, shared ones too."
        )
    for axis, (size, first, each, limit) in enumerate(zip(sizes, start, apart, whole, strict=True)):
        end = first + (size - 1) * each + 1 if size else first
        if first < 0 or each < 1 or end > limit:
            raise ValueError(
                f"`place`: the block must lie inside `global_shape`. Got [{first}, {end}) on axis {axis} of "
                f"size {limit}, in steps of {each}. Check `offset` and `step`."
            )
    shared = shared_axes(rank, broadcast_dims)
    strides, base, unit = [0] * rank, 0, 1
    for axis in reversed(range(rank)):
        if axis not in shared:
            strides[axis] = unit * apart[axis]
            base += unit * start[axis]
            unit *= whole[axis]
    # No block has that many of its own; to compare its size would bind an exported graph to sizes.
    if global_shape is not None and unit > 2**64:
        raise ValueError(f"`place`: a noise field has at most 2**64 draws. Got {unit}. Share more axes.")
    return Placement(sizes, tuple(strides), base)


def shared_axes(rank: int, broadcast_dims: Sequence[int]) -> frozenset[int]:
    """`broadcast_dims` as a set of non-negative axes of a tensor of this rank, or an error that names the axis."""
    check(AXES, "place", "broadcast_dims", broadcast_dims)
    axes = [dim + rank if dim < 0 else dim for dim in broadcast_dims]
    for given, axis in zip(broadcast_dims, axes, strict=True):
        if not 0 <= axis < rank:
            raise ValueError(
                f"`broadcast_dims`: axes must be in [{-rank}, {rank}) for a {rank}-D input. Got {given}. "
                "Name axes that the input has."
            )
    if len(set(axes)) < len(axes):
        raise ValueError(f"`broadcast_dims`: axes must differ. Got {tuple(broadcast_dims)}. Name each axis once.")
    return frozenset(axes)
