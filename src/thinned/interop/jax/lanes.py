"""The noise of a block of positions in integer arithmetic of jnp: what every device has, sharded arrays too.

Keys and bases are uint32 of shape `(*K, 2)`, the high word first, as JAX keeps its own keys; noise comes in shape
`(*K, *N)`, with N the noise shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from .words import Array, Pair, add, constant, multiply, philox, shift_right

Words = tuple[Array, Array, Array, Array]


class Law(NamedTuple):
    """How the words of a block become the values at its positions."""

    domain: int  # the last counter word
    each: int  # positions a block
    block: Callable[[Words], Array]  # the values of whole blocks, on a new last axis
    single: Callable[[Words, Array], Array]  # the value at one position of each block


def noise(law: Law, key: Array, base: Array | None, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """The value at every position.

    Arguments:
        key: `(*K, 2)`.
        base: the position of the first draw, `(*K, 2)`; None for 0.
        shape: of the draws, N.
        strides: in positions, one an axis, modulo 2**64.

    Cost: one block for each run of `law.each` positions; where the draws are no run, one block for each draw.
    """
    if _dense(shape, strides):
        if base is None:
            return _run(law, key, tuple(shape))
        if base.ndim == 1:
            return _run_from(law, key, _pair(base, 1), tuple(shape))
    start = constant(0) if base is None else _pair(base, len(shape))
    position = positions(start, shape, strides)
    words = philox(shift_right(position, law.each.bit_length() - 1), _pair(key, len(shape)), law.domain)
    values = law.single(words, position[0] & np.uint32(law.each - 1))
    return jnp.broadcast_to(values, (*np.shape(values)[: np.ndim(values) - len(shape)], *shape))


def positions(start: Pair, shape: Sequence[int], strides: Sequence[int]) -> Pair:
    """The position of every draw: `start + sum of index * stride`."""
    total, rank = start, len(shape)
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        if size > 1 and stride % 2**64:
            index = lax.broadcasted_iota(jnp.uint32, [size if i == axis else 1 for i in range(rank)], axis)
            total = add(total, multiply(index, constant(stride)))
    return total


def _dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the draws are one run of positions, in order."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _pair(words: Array, rank: int) -> Pair:
    """A key or base `(*K, 2)` as a pair of shape `(*K, 1, ..., 1)`."""
    shape = (*words.shape[:-1], *(1,) * rank)
    return words[..., 1].reshape(shape), words[..., 0].reshape(shape)


def _blocks(law: Law, key: Array, first: Pair, shape: tuple[int, ...]) -> Array:
    """The values of a run of blocks, side by side on the last axis: `(*K, *shape[:-1], shape[-1] * each)`."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    values = law.block(philox(positions(first, shape, strides), _pair(key, len(shape)), law.domain))
    values = jnp.broadcast_to(
        values, (*key.shape[:-1], *shape, law.each)
    )  # a run of one block has broadcast nothing yet
    return values.reshape(*key.shape[:-1], *shape[:-1], shape[-1] * law.each)


def _run(law: Law, key: Array, shape: tuple[int, ...]) -> Array:
    """The values of a run from position 0."""
    if shape and shape[-1] % law.each == 0:
        # Rows of whole blocks: the axes stay axes, so that a sharded array needs nothing from other devices.
        return _blocks(law, key, constant(0), (*shape[:-1], shape[-1] // law.each))
    count = math.prod(shape)
    flat = _blocks(law, key, constant(0), (-(-count // law.each),))[..., :count]
    return flat.reshape(*flat.shape[:-1], *shape)


def _run_from(law: Law, key: Array, start: Pair, shape: tuple[int, ...]) -> Array:
    """The values of a run from a position that may be known at run time only."""
    count = math.prod(shape)
    flat = _blocks(law, key, shift_right(start, law.each.bit_length() - 1), (count // law.each + 2,))
    skipped = (start[0][0] & np.uint32(law.each - 1)).astype(jnp.int32)
    part = lax.dynamic_slice_in_dim(flat, skipped, count, axis=-1)
    return part.reshape(*part.shape[:-1], *shape)


def stacked(values: Sequence[Any]) -> Array:
    """Values of a block on a new last axis."""
    return jnp.stack(jnp.broadcast_arrays(*values), -1)
