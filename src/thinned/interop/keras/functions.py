"""The noise as functions, on whatever backend Keras has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...noise import PROBABILITY, UINT64, check, place
from .backend import keras, noise
from .layer import Tensor


def dropout(x: Tensor, rate: float, key: int | Tensor, *, broadcast_dims: Sequence[int] = ()) -> Tensor:
    """Drop units of a tensor by key: a pure function, the same on TensorFlow, JAX, torch and in NumPy.

    Arguments: `x`, floating-point; `rate`, the probability that a unit is dropped; `key`, an int in [0, 2**64) or what
    `fold_in` gives; `broadcast_dims`, axes along which one draw is shared.

    >>> import keras
    >>> keras.ops.convert_to_numpy(dropout(keras.ops.ones(8), 0.5, 7)).tolist()
    [0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 0.0]
    """
    check(PROBABILITY, "dropout", "rate", rate)
    given, x = _key("dropout", key), keras.ops.convert_to_tensor(x)
    shared = {axis % len(x.shape) for axis in broadcast_dims}
    if rate == 0:
        return x
    draws = [1 if axis in shared else size for axis, size in enumerate(noise.shape_of(x))]
    return noise.drop(x, given, float(rate), "inverted", draws)


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
    check(PROBABILITY, "bernoulli", "rate", rate)
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    return noise.mask(_key("bernoulli", key), float(rate), where)


def fold_in(key: int | Tensor, n: int) -> Tensor:
    """A child key, on the backend: `thinned.noise.fold_in`."""
    return noise.fold_in(_key("fold_in", key), check(UINT64, "fold_in", "n", n))


def as_number(key: Tensor) -> int:
    """A key of the backend as an int in [0, 2**64)."""
    return int(noise.number(key))


def _key(owner: str, key: Any) -> Tensor:
    return noise.key(check(UINT64, owner, "key", key)) if isinstance(key, int) else key
