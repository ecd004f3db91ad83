"""What the words of a block say: decisions of 16 bits, uniform values and normal ones of 32 (docs/design/noise.md)."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...noise.law import BERNOULLI_DOMAIN, UNIFORM_DOMAIN
from .lanes import Law, Words, stacked
from .words import Array


def _half_words(words: Words) -> Array:
    halves = lax.bitcast_convert_type(stacked(words), jnp.uint16)  # a low half comes first
    return halves.reshape(*halves.shape[:-2], 8)


def _half_word(words: Words, lane: Array) -> Array:
    word = _chosen(words, lane >> np.uint32(1))
    return (word >> ((lane & np.uint32(1)) * np.uint32(16))).astype(jnp.uint16)


def _chosen(words: Words, number: Array) -> Array:
    low, high = jnp.where(number == 0, words[0], words[1]), jnp.where(number == 2, words[2], words[3])
    return jnp.where(number < 2, low, high)


BERNOULLI = Law(BERNOULLI_DOMAIN, 8, _half_words, _half_word)


@cache
def uniform_law(dtype: Any) -> Law:
    """Uniform values, `(x + 0.5) * 2**-32`, in float32 or float64."""
    return Law(
        UNIFORM_DOMAIN,
        4,
        lambda words: _unit(stacked(words), dtype),
        lambda words, lane: _unit(_chosen(words, lane), dtype),
    )


def _unit(x: Array, dtype: Any) -> Array:
    if dtype == np.float64:
        return (x.astype(dtype) + 0.5) * 2.0**-32
    # Two exact numbers, and so one rounding: of their sum.
    upper, lower = (x >> np.uint32(16)).astype(dtype), (x & np.uint32(0xFFFF)).astype(dtype)
    return (upper * np.float32(65536) + (lower + np.float32(0.5))) * np.float32(2.0**-32)


@cache
def normal_law(dtype: Any) -> Law:
    """Normal values by Box and Muller, in float32 or float64."""
    return Law(
        UNIFORM_DOMAIN,
        4,
        lambda words: stacked((*_box_muller(words[0], words[1], dtype), *_box_muller(words[2], words[3], dtype))),
        lambda words, lane: _one_normal(words, lane, dtype),
    )


def _one_normal(words: Words, lane: Array, dtype: Any) -> Array:
    late = lane >= 2
    cosine, sine = _box_muller(jnp.where(late, words[2], words[0]), jnp.where(late, words[3], words[1]), dtype)
    return jnp.where(lane & np.uint32(1) == 1, sine, cosine)


def _box_muller(x: Array, y: Array, dtype: Any) -> tuple[Array, Array]:
    """The two normal values of a lane pair."""
    if dtype == np.float64:
        radius, angle = jnp.sqrt(-2.0 * jnp.log(_unit(x, dtype))), 2.0 * np.pi * _unit(y, dtype)
        return radius * jnp.cos(angle), radius * jnp.sin(angle)
    # In float32 u is too coarse near 1, and 2 pi v everywhere: ln u = log1p(u - 1) there, and the angle is taken from
    # the nearest quarter turn, in integers.
    below = (np.uint32(0) - x).astype(dtype) - np.float32(0.5)  # 2**32 - x - 1/2, of x above 0
    near = x >= np.uint32(1 << 31)
    log = jnp.where(
        near, jnp.log1p(-jnp.where(near, below, np.float32(1)) * np.float32(2.0**-32)), jnp.log(_unit(x, dtype))
    )
    quarter = (y + np.uint32(1 << 29)) >> np.uint32(30)
    rest = lax.bitcast_convert_type(y - (quarter << np.uint32(30)), jnp.int32).astype(dtype) + np.float32(0.5)
    angle = rest * np.float32(2.0 * np.pi * 2.0**-32)
    radius, cosine, sine = jnp.sqrt(np.float32(-2) * log), jnp.cos(angle), jnp.sin(angle)
    turned, sign = quarter & np.uint32(1) == 1, jnp.where(quarter & np.uint32(2) == 2, -radius, radius)
    return sign * jnp.where(turned, -sine, cosine), sign * jnp.where(turned, cosine, sine)
