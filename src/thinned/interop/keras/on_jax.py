"""The noise on JAX: `thinned.interop.jax`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...noise.formulas import numbers
from ...noise.place import Placement
from ..jax import fold_in, normal
from ..jax.functions import at_least
from ..jax.functions import drop as drop_by_law
from ..jax.key import key_words
from ..jax.place import block, place
from .noise_shape import shared_axes

Tensor = Any


def key(number: int) -> Tensor:
    """A key: uint32 of shape `(2,)`, the high word first."""
    return key_words("key", number)


def is_key(given: Any) -> bool:
    """Whether this is a key as `key` makes it."""
    return isinstance(given, jax.Array) and given.dtype == np.uint32 and given.shape == (2,)


def key_of(state: Tensor) -> Tensor:
    """The key of a call: `fold_in(seed, count)`, of a state of Keras's seed generators."""
    seed, count = (jnp.asarray(word).astype(jnp.uint32) for word in state)
    return fold_in(jnp.stack([jnp.zeros_like(seed), seed]), count)


def number(given: Tensor) -> int:
    """A key as an int."""
    return int(given[0]) << 32 | int(given[1])


def drop(x: Tensor, given: Tensor, p: float, law: str, noise_shape: Sequence[Any]) -> Tensor:
    """What a unit becomes by a law of `noise.formulas`."""
    threshold, *affine = numbers(law, p)
    where = place("drop", x.shape, shared_axes(x, noise_shape), None, None, None)
    return drop_by_law(x, given, int(threshold), jnp.asarray(affine, jnp.float32), where)


def gaussian(x: Tensor, given: Tensor, deviation: float, noise_shape: Sequence[Any]) -> Tensor:
    """`x * (1 + deviation * n)`, n standard normal."""
    if deviation == float("inf"):
        return jnp.zeros_like(x)
    wide = x.dtype if x.dtype in (np.float64, np.complex64, np.complex128) else jnp.float32
    factor = 1.0 + deviation * normal(given, tuple(noise_shape))
    return (x.astype(wide) * factor.astype(wide)).astype(x.dtype)


def mask(given: Tensor, p: float, where: Placement) -> Tensor:
    """True where a unit is kept, at any place of a whole."""
    return at_least("bernoulli", given, int(numbers("inverted", p)[0]), block(where))


def shape_of(x: Tensor) -> list[Any]:
    """The sizes."""
    return list(x.shape)
