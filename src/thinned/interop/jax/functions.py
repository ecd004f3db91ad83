"""Dropout and the laws of the noise as functions of JAX."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...noise import UINT64, check
from ...noise.philox import FOLD_IN_DOMAIN
from .key import key_words, typed
from .lanes import Law, noise
from .laws import BERNOULLI, normal_law, uniform_law
from .place import BlockPlace, place
from .primitive import drop_p
from .rate import rate
from .words import Array, constant, philox


def dropout(
    x: Array,
    p: float | Array,
    key: Any,
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[Any] | None = None,
    global_shape: Sequence[int] | None = None,
    spec: Any = None,
) -> Array:
    """Drop units by key: `x * scale(p)` where a unit is kept, 0 where it is dropped.

    The mask is a pure function of the key and the position. So `jit`, `scan` and remat change nothing; `vmap` over rows
    with one key gives them one mask, and with one key a row a mask each; an array that `jit` divides among devices has
    the mask of one device. The gradient takes the same mask from the key: nothing is kept for it.

    Arguments:
        x: floating-point or complex, any shape.
        p: the probability that a unit is dropped, in [0, 1]. A traced number can't be checked: outside it is clipped.
        key: an int in [0, 2**64), a key of `jax.random.key`, or the uint32 array of `jax.random.PRNGKey` or `fold_in`.
        broadcast_dims: axes along which one draw is shared; negative axes count from the end.
        offset, global_shape: where x lies in the whole, if it is a shard of it; an offset may be traced.
        spec: inside `jax.shard_map`, x's `PartitionSpec`, from which both follow.

    Raises:
        TypeError, ValueError: a bad `p` or `key`, an x of integers, or a place outside the whole.

    Cost: on the CPU that of the kernel, elsewhere 10 rounds of 32-bit integer arithmetic for 8 elements. Where the
    draws are not one run of positions, as for a shard of columns, the latter for each element.

    Source: Srivastava et al. 2014.

    >>> dropout(jnp.ones(8), 0.5, 7)
    Array([0., 2., 2., 2., 2., 0., 2., 0.], dtype=float32)
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"`dropout`: `x` must be floating-point or complex. Got {x.dtype}. Convert it: x.astype(...).")
    low, scale = rate("dropout", p)
    words = key_words("dropout", key)
    where = place("dropout", x.shape, broadcast_dims, offset, global_shape, spec)
    if isinstance(low, int) and low == 0:
        return x
    law = jnp.stack([jnp.asarray(scale, jnp.float32), np.float32(0), np.float32(0)])
    return drop(x, words, low, law, where)


def drop(x: Array, key: Array, threshold: Any, law: Array, where: BlockPlace) -> Array:
    """The primitive: `law[0] * x + law[1]` where a unit is kept, `law[2]` where it is dropped."""
    base = jnp.zeros(2, jnp.uint32) if where.base is None else where.base
    operands = x, key, base, jnp.asarray(threshold, jnp.uint32), law
    # In shard_map the result differs between devices where any operand does.
    varies = frozenset().union(*(getattr(jax.typeof(value), "vma", ()) for value in operands))
    missing = tuple(sorted(varies - getattr(jax.typeof(x), "vma", frozenset())))
    if missing:
        operands = lax.pcast(x, missing, to="varying"), *operands[1:]
    return drop_p.bind(*operands, strides=where.strides, origin=where.base is None)


def bernoulli(
    key: Any,
    p: float | Array,
    shape: Sequence[int],
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[Any] | None = None,
    global_shape: Sequence[int] | None = None,
    spec: Any = None,
) -> Array:
    """A dropout mask: True where a unit is kept. (`jax.random.bernoulli` is True with probability p: the other way.)

    Arguments: as in `dropout`; `shape`, the mask's.

    >>> bernoulli(7, 0.5, (2, 4)).astype(int)
    Array([[0, 1, 1, 1],
           [1, 0, 1, 0]], dtype=int32)
    """
    low, _ = rate("bernoulli", p)
    where = place("bernoulli", shape, broadcast_dims, offset, global_shape, spec)
    return at_least("bernoulli", key, low, where)


def at_least(owner: str, key: Any, low: Any, where: BlockPlace) -> Array:
    """True where the lane is at least the threshold `low`."""
    lane = _field(owner, BERNOULLI, key, where)
    return jnp.broadcast_to(lane.astype(jnp.uint32) >= jnp.asarray(low, jnp.uint32), where.shape)


def uniform(
    key: Any,
    shape: Sequence[int],
    *,
    dtype: Any = np.float32,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[Any] | None = None,
    global_shape: Sequence[int] | None = None,
    spec: Any = None,
) -> Array:
    """Uniform noise: `(x + 0.5) * 2**-32` of a 32-bit lane x, rounded once to `dtype`.

    It is in the open interval (0, 1), of which float32 rounds the last 2**-25 to 1 and narrower types more.

    Arguments: as in `bernoulli`; `dtype`, of the result.

    >>> uniform(7, (2,))
    Array([0.83847266, 0.44499007], dtype=float32)
    """
    where = place("uniform", shape, broadcast_dims, offset, global_shape, spec)
    return _values("uniform", uniform_law, key, dtype, where)


def normal(
    key: Any,
    shape: Sequence[int],
    *,
    dtype: Any = np.float32,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[Any] | None = None,
    global_shape: Sequence[int] | None = None,
    spec: Any = None,
) -> Array:
    """Standard normal noise by Box and Muller (1958), within 1e-6 of `thinned.noise.normal`, before it is rounded.

    Arguments: as in `uniform`.

    >>> normal(7, (3,)).shape
    (3,)
    """
    where = place("normal", shape, broadcast_dims, offset, global_shape, spec)
    return _values("normal", normal_law, key, dtype, where)


def fold_in(key: Any, n: int | Array) -> Array:
    """A child key: words 0 and 1 of `philox((n_low, n_high, 0, 0x464F4C44), key)`, as `thinned.noise.fold_in`.

    Arguments: `key` as in `dropout`; `n`, in [0, 2**64), or a traced integer, of which 32 bits are taken.

    Returns: a key of `jax.random` if the given one is one, else uint32 of shape `(2,)`, the high word first.

    Raises:
        TypeError, ValueError: a bad key or number.

    >>> [hex(word) for word in fold_in(0, 1).tolist()]
    ['0x5bc88451', '0xd59271e5']
    """
    words = key_words("fold_in", key)
    if isinstance(n, numbers.Integral) and not isinstance(n, bool):
        number = constant(int(check(UINT64, "fold_in", "n", n)))
    else:
        if not jnp.issubdtype(getattr(n, "dtype", None), jnp.integer) or np.shape(n):
            raise TypeError(f"`fold_in`: `n` must be one integer. Got {n!r}. Pass a step, or a layer's number.")
        number = jnp.asarray(n).astype(jnp.uint32), np.uint32(0)
    child = _child(words, jnp.stack([jnp.asarray(word, jnp.uint32) for word in number]))
    return jax.random.wrap_key_data(child, impl=jax.random.key_impl(key)) if typed(key) else child


@jax.jit  # type: ignore[untyped-decorator]
def _child(words: Array, number: Array) -> Array:
    low, high, *_ = philox((number[0], number[1]), (words[1], words[0]), FOLD_IN_DOMAIN)
    return jnp.stack([high, low])


def _values(owner: str, law: Callable[[Any], Law], key: Any, dtype: Any, where: BlockPlace) -> Array:
    """Values by a law for the type that they are computed in, rounded to `dtype`."""
    values = _field(owner, law(_wide(owner, dtype)), key, where)
    return jnp.broadcast_to(values.astype(dtype), where.shape)


def _field(owner: str, law: Law, key: Any, where: BlockPlace) -> Array:
    return _compiled_noise(law, key_words(owner, key), where.base, where.noise_shape, where.strides)


# Outside of `jit` it is compiled once a place, instead of operation by operation.
_compiled_noise = jax.jit(noise, static_argnums=(0, 3, 4))


def _wide(owner: str, dtype: Any) -> Any:
    """The type that values are computed in."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`{owner}`: `dtype` must be floating-point. Got {np.dtype(dtype)}. Pass jnp.float32.")
    wide = np.dtype(dtype) == np.float64 and jax.config.jax_enable_x64
    return np.dtype(np.float64 if wide else np.float32)
