"""Keys in JAX: a number, or the 64 bits of a key of `jax.random`, which are its two words with the high one first."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...noise import UINT64, check
from .words import Array, two_words


def key_words(owner: str, key: Any) -> Array:
    """A key as uint32 of shape `(2,)`, the high word first.

    Arguments: `owner`, for the error; `key`, an int in [0, 2**64), a key of `jax.random.key`, or the uint32 array of
    shape `(2,)` that `jax.random.PRNGKey` and `fold_in` give. `jax.random.key(7)` is our key 7.

    Raises:
        TypeError, ValueError: it is none of them.
    """
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        return two_words(int(check(UINT64, owner, "key", key)))
    words = jax.random.key_data(key) if typed(key) else key
    if getattr(words, "dtype", None) != np.uint32 or np.shape(words) != (2,):
        got = f"{key.dtype} of shape {key.shape}" if hasattr(key, "dtype") else repr(key)
        raise TypeError(
            f"`{owner}`: `key` must be an int in [0, 2**64), or one key of 64 bits of jax.random. Got {got}. Pass "
            "jax.random.key(seed), under jax.vmap one key a row; of longer ones jax.random.bits(key, (2,), 'uint32')."
        )
    return jnp.asarray(words)


def typed(key: Any) -> bool:
    """Whether a key is one of `jax.random.key`, which has a type of its own."""
    return hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
