"""The noise as functions, on whatever backend Keras has."""

from __future__ import annotations

from collections.abc import Sequence

from ...noise import UINT64, check, place, shared_axes
from .backend import keras, noise
from .layer import Tensor, check_floating, checked_rate, key_on_backend


def dropout(x: Tensor, rate: float, key: int | Tensor, *, broadcast_dims: Sequence[int] = ()) -> Tensor:
    """Drop units of a tensor by key: a pure function, the same on TensorFlow, JAX, torch and in NumPy.

    Arguments: `x`, floating-point; `rate`, the probability that a unit is dropped; `key`, an int in [0, 2**64) or what
    `fold_in` gives; `broadcast_dims`, axes along which one draw is shared; negative axes count from the end.

    Raises:
        TypeError, ValueError: a bad `rate` or `key`, an x of integers, or an axis that x lacks or that is named twice.

    >>> import keras
    >>> keras.ops.convert_to_numpy(dropout(keras.ops.ones(8), 0.5, 7)).tolist()
    [0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 0.0]
    """
    p, given, x = checked_rate("dropout", rate), key_on_backend("dropout", key), keras.ops.convert_to_tensor(x)
    check_floating("dropout", "x", x)
    shared = shared_axes(len(x.shape), broadcast_dims)
    if p == 0:
        return x
    draws = [1 if axis in shared else size for axis, size in enumerate(noise.shape_of(x))]
    return noise.drop(x, given, p, "inverted", draws)


def bernoulli(
    key: int | Tensor,
    rate: float,
    shape: Sequence[int],
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
) -> Tensor:
    """A dropout mask, True where a unit is kept. Arguments as in `thinned.noise.bernoulli`, with `rate` for p."""
    p = checked_rate("bernoulli", rate)
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    return noise.mask(key_on_backend("bernoulli", key), p, where)


def fold_in(key: int | Tensor, n: int) -> Tensor:
    """A child key, on the backend: `thinned.noise.fold_in`."""
    return noise.fold_in(key_on_backend("fold_in", key), check(UINT64, "fold_in", "n", n))


def as_number(key: Tensor) -> int:
    """A key of the backend as an int in [0, 2**64)."""
    return int(noise.number(key))
