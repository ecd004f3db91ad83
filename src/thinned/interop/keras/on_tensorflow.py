"""The noise on TensorFlow: its own Philox operator, with our key and our counter, gives the contract's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...noise.formulas import numbers
from ...noise.law import BERNOULLI_DOMAIN, LEVELS, UNIFORM_DOMAIN
from ...noise.philox import FOLD_IN_DOMAIN
from ...noise.place import Placement
from ..extra import needed

tf = needed("tensorflow", "thinned.interop.keras", "TensorFlow, Keras's backend,", "tensorflow")
_PHILOX = 1  # the operator's `alg`
Tensor = Any


def key(number: int) -> Tensor:
    """A key: uint64 of shape `(1,)`, as the operator takes it."""
    return tf.constant([number], tf.uint64)


def is_key(given: Any) -> bool:
    """Whether this is a key as `key` makes it."""
    return bool(tf.is_tensor(given)) and given.dtype == tf.uint64 and given.shape.rank == 1 and given.shape[0] == 1


def key_of(state: Tensor) -> Tensor:
    """The key of a call: `fold_in(seed, count)`, of a state of Keras's seed generators."""
    words = tf.cast(state, tf.uint64) & tf.constant(0xFFFFFFFF, tf.uint64)
    return fold_in(words[:1], words[1])


def fold_in(parent: Tensor, n: Any) -> Tensor:
    """A child key."""
    low = tf.constant(n, tf.uint64) if isinstance(n, int) else tf.cast(n, tf.uint64)
    high = tf.constant(FOLD_IN_DOMAIN << 32, tf.uint64)
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[2], key=parent, counter=tf.stack([low, high]), alg=_PHILOX, dtype=tf.uint32
    )
    return tf.bitcast(tf.reshape(words, [1, 2]), tf.uint64)


def number(given: Tensor) -> int:
    """A key as an int."""
    return int(given[0])


def _words(given: Tensor, blocks: Tensor, domain: int, first: int = 0) -> Tensor:
    """The words of a run of blocks, `(blocks * 4,)`."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.reshape(blocks * 4, [1]),
        key=given,
        counter=tf.constant([first, domain << 32], tf.uint64),
        alg=_PHILOX,
        dtype=tf.uint32,
    )


def _run(given: Tensor, shape: Tensor, each: int, domain: int) -> Tensor:
    """The lanes of positions 0, 1, ... in this shape."""
    count = tf.reduce_prod(tf.cast(shape, tf.int64))
    words = _words(given, (count + each - 1) // each, domain)
    if each == 8:
        words = tf.reshape(tf.bitcast(words, tf.uint16), [-1])  # a low half comes first
    return tf.reshape(words[:count], shape)


def drop(x: Tensor, given: Tensor, p: float, law: str, noise_shape: Sequence[Any]) -> Tensor:
    """What a unit becomes by a law of `noise.formulas`. Nothing but the key is kept for the gradient."""
    threshold, scale, shift, fill = numbers(law, p)
    return _affine(x, given, (int(threshold), scale, shift, fill), noise_shape)


def _affine(x: Tensor, given: Tensor, law: tuple[int, float, float, float], noise_shape: Sequence[Any]) -> Tensor:
    threshold, scale, shift, fill = law

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(x: Tensor) -> Any:
        if threshold >= LEVELS:
            y = tf.fill(tf.shape(x), tf.cast(fill, x.dtype))
        else:
            wide = _wide(x)
            scaled = tf.cast(tf.cast(x, wide) * tf.cast(scale, wide) + tf.cast(shift, wide), x.dtype)
            lane = _run(given, _stacked(noise_shape), 8, BERNOULLI_DOMAIN)
            y = tf.where(tf.cast(lane, tf.int32) >= threshold, scaled, tf.cast(fill, x.dtype))
        linear = (threshold, scale, 0.0, 0.0)
        return tf.ensure_shape(y, x.shape), lambda gradient: _affine(gradient, given, linear, noise_shape)

    return run(x)


def _wide(x: Tensor) -> Any:
    """The type that a product is taken in."""
    return x.dtype if x.dtype in (tf.float64, tf.complex64, tf.complex128) else tf.float32


def _stacked(shape: Sequence[Any]) -> Tensor:
    return tf.stack([tf.cast(size, tf.int32) for size in shape]) if len(shape) else tf.constant([], tf.int32)


def gaussian(x: Tensor, given: Tensor, deviation: float, noise_shape: Sequence[Any]) -> Tensor:
    """`x * (1 + deviation * n)`, n standard normal."""
    if deviation == float("inf"):
        return tf.zeros_like(x)
    factor, wide = 1.0 + deviation * _normal(given, _stacked(noise_shape)), _wide(x)
    return tf.ensure_shape(tf.cast(tf.cast(x, wide) * tf.cast(factor, wide), x.dtype), x.shape)


def _normal(given: Tensor, shape: Tensor) -> Tensor:
    """Normal values by Box and Muller, in double."""
    count = tf.reduce_prod(tf.cast(shape, tf.int64))
    lanes = tf.cast(_words(given, (count + 3) // 4, UNIFORM_DOMAIN), tf.float64)
    u, v = tf.unstack(tf.reshape((lanes + 0.5) * 2.0**-32, [-1, 2]), axis=1)
    radius, angle = tf.sqrt(-2.0 * tf.math.log(u)), 2.0 * np.pi * v
    values = tf.reshape(tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], 1), [-1])
    return tf.reshape(values[:count], shape)


def mask(given: Tensor, p: float, where: Placement) -> Tensor:
    """True where a unit is kept, at any place of a whole."""
    threshold, positions = int(numbers("inverted", p)[0]), where.positions()
    if not positions.size:
        return tf.zeros(where.shape, tf.bool)
    first, last = int(positions.min()) // 8, int(positions.max()) // 8
    if last - first <= 2 * positions.size:
        words = _words(given, tf.constant(last - first + 1), BERNOULLI_DOMAIN, first)
        chosen = (positions - np.uint64(8 * first)).astype(np.int64)
    else:  # far apart: a block each
        flat = positions.ravel()
        each = [_words(given, tf.constant(1), BERNOULLI_DOMAIN, int(position) // 8) for position in flat]
        words = tf.concat(each, 0)
        chosen = (np.arange(flat.size) * 8 + (flat % np.uint64(8)).astype(np.int64)).reshape(positions.shape)
    lane = tf.gather(tf.reshape(tf.bitcast(words, tf.uint16), [-1]), chosen)
    return tf.broadcast_to(tf.cast(lane, tf.int32) >= threshold, where.shape)


def shape_of(x: Tensor) -> list[Any]:
    """The sizes, tensors where a graph does not know them."""
    known, run = x.shape.as_list(), tf.shape(x)
    return [run[axis] if size is None else size for axis, size in enumerate(known)]
