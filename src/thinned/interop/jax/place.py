"""Where a block of noise lies in the whole: by numbers, by traced offsets in `shard_map`, or by a `PartitionSpec`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...noise import Placement
from ...noise import place as exact_place
from .words import Array, Pair, add, constant, multiply, two_words


class BlockPlace(NamedTuple):
    """A block's draws: position = base + sum of index * stride."""

    shape: tuple[int, ...]
    noise_shape: tuple[int, ...]  # 1 on every shared axis
    strides: tuple[int, ...]  # 0 on every shared axis
    base: Array | None  # uint32 `(2,)`, the high word first; None for 0


def place(
    owner: str,
    shape: Sequence[int],
    broadcast_dims: Sequence[int],
    offset: Sequence[Any] | None,
    global_shape: Sequence[int] | None,
    spec: Any,
) -> BlockPlace:
    """Compile the arguments of `dropout` into strides and a base.

    Raises:
        ValueError: as `thinned.noise.place`; or both `spec` and `offset` are given.
    """
    sizes = tuple(int(size) for size in shape)
    if spec is not None:
        if offset is not None or global_shape is not None:
            raise ValueError(f"`{owner}`: `spec` gives `offset` and `global_shape`. Got both. Leave one of them out.")
        offset, global_shape = _from_spec(owner, sizes, spec)
    known = offset is None or all(isinstance(first, int | np.integer) for first in offset)
    where = exact_place(
        sizes, broadcast_dims=broadcast_dims, offset=offset if known else None, global_shape=global_shape
    )
    base: Array | None = None
    if not known:
        assert offset is not None
        if len(offset) != len(sizes):
            raise ValueError(
                f"`{owner}`: `offset` must have one number for each of the {len(sizes)} axes. Got {len(offset)}. Name "
                "every axis, shared ones too."
            )
        total: Pair = constant(0)
        for first, stride in zip(offset, where.strides, strict=True):
            if stride:
                total = add(total, multiply(jnp.asarray(first).astype(jnp.uint32), constant(stride)))
        base = jnp.stack(jnp.broadcast_arrays(total[1], total[0]))
    return block(where, base)


def block(where: Placement, base: Array | None = None) -> BlockPlace:
    """A placement for JAX; with a base that is traced, in place of its own."""
    if base is None and where.base:
        base = two_words(where.base)
    return BlockPlace(where.shape, where.noise_shape, tuple(step % 2**64 for step in where.strides), base)


def _from_spec(owner: str, sizes: tuple[int, ...], spec: Any) -> tuple[list[Any], list[int]]:
    """Offset and global shape of a device's block in `shard_map`."""
    named = [*spec, *(None,) * (len(sizes) - len(spec))]
    if len(named) != len(sizes):
        raise ValueError(
            f"`{owner}`: `spec` must have at most {len(sizes)} entries, one an axis. Got {spec}. Pass x's own."
        )
    offset, whole = [], []
    for size, names in zip(sizes, named, strict=True):
        axes = () if names is None else (names,) if isinstance(names, str) else tuple(names)
        offset.append(lax.axis_index(axes) * size if axes else 0)
        whole.append(size * math.prod(lax.axis_size(axis) for axis in axes))
    return offset, whole
