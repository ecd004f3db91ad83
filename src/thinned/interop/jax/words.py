"""Numbers of 64 bits as two words of 32, and Philox4x32-10 on them: JAX has no 64-bit integers unless it is told to.

A pair is `(low, high)`, two uint32 arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...noise.philox import MULTIPLIERS, ROUNDS, WEYL

Array = Any
Pair = tuple[Array, Array]
_HALF = np.uint32(0xFFFF)
_SIXTEEN = np.uint32(16)


def constant(number: int) -> Pair:
    """A number as a pair, modulo 2**64."""
    return np.uint32(number & 0xFFFFFFFF), np.uint32(number >> 32 & 0xFFFFFFFF)


def two_words(number: int) -> Array:
    """A number as uint32 of shape `(2,)`, the high word first, as JAX keeps its own keys."""
    return jnp.asarray(np.array([number >> 32, number & 0xFFFFFFFF], np.uint32))


def high_product(a: Array, b: Array) -> Array:
    """The upper word of a product of two words. (`lax.mulhi`, of JAX 0.10, does not compile inside of `shard_map`.)"""
    a_low, a_high, b_low, b_high = a & _HALF, a >> _SIXTEEN, b & _HALF, b >> _SIXTEEN
    middle = a_high * b_low + (a_low * b_low >> _SIXTEEN)
    return a_high * b_high + (middle >> _SIXTEEN) + ((a_low * b_high + (middle & _HALF)) >> _SIXTEEN)


def add(a: Pair, b: Pair) -> Pair:
    """The sum, modulo 2**64."""
    low = a[0] + b[0]
    return low, a[1] + b[1] + (low < a[0]).astype(jnp.uint32)


def multiply(word: Array, number: Pair) -> Pair:
    """A word times a number, modulo 2**64."""
    low, high = number
    return word * low, high_product(word, low) + word * high


def shift_right(number: Pair, bits: int) -> Pair:
    """`number >> bits`, of 1 to 31 bits."""
    down, up = np.uint32(bits), np.uint32(32 - bits)
    return number[0] >> down | number[1] << up, number[1] >> down


def philox(block: Pair, key: Pair, domain: int) -> tuple[Array, Array, Array, Array]:
    """The four output words of each block: `philox((block_low, block_high, 0, domain), key)`.

    The rounds are a loop. Written out, XLA computes early ones again for every later use: 28 times as long on a CPU.
    """
    first, second = (np.uint32(multiplier) for multiplier in MULTIPLIERS)
    low, high, k0, k1 = (jnp.asarray(word) for word in (*block, *key))
    nothing = (low & 0) | (high & 0) | (k0 & 0)  # of the whole shape, and different on devices where any of them is

    def turn(number: Array, words: tuple[Array, ...]) -> tuple[Array, ...]:
        c0, c1, c2, c3 = words
        step = number.astype(jnp.uint32)
        return (
            high_product(second, c2) ^ c1 ^ (k0 + step * np.uint32(WEYL[0])),
            second * c2,
            high_product(first, c0) ^ c3 ^ (k1 + step * np.uint32(WEYL[1])),
            first * c0,
        )

    start = low | nothing, high | nothing, nothing, nothing | np.uint32(domain)
    c0, c1, c2, c3 = lax.fori_loop(0, ROUNDS, turn, start)
    return c0, c1, c2, c3
