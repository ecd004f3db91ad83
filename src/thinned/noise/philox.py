"""The generator: Philox4x32-10, a keyed bijection of 128-bit counters (Salmon, Moraes, Dror and Shaw 2011).

Counter-based: block number n of the stream is `philox(n, key)`, so any part of it can be had without the rest, in any
order, on any device. This file is the oracle: NumPy, no state, no framework.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .argument import UINT64, check

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1: the key's step from round to round
FOLD_IN_DOMAIN = 0x464F4C44  # "FOLD": the counter word that keeps derived keys apart from noise

_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_FACTORS = np.array([MULTIPLIERS], dtype=np.uint64).T
_STEPS = np.array([WEYL], dtype=np.uint64).T
_CHUNK = 1 << 14  # counters whose working set stays in the cache of one core: an order faster than whole arrays


def philox(counter: ArrayLike, key: int | NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Encrypt counters: ten rounds of multiply, exclusive-or and swap.

    Arguments:
        counter: unsigned 32-bit words, shape `(..., 4)`, word 0 first.
        key: an unsigned 64-bit number, or an array of them that broadcasts against `counter`'s leading axes.

    Returns:
        The output words, uint32, shape `(..., 4)`.

    Cost: about 7 ns a 32-bit word on one core. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
    SC 2011.

    >>> [f"{word:08x}" for word in philox([0, 0, 0, 0], 0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    words = np.asarray(counter, dtype=np.uint64)
    keys = np.asarray(key, dtype=np.uint64)
    shape = np.broadcast_shapes(words.shape[:-1], keys.shape)
    words = np.broadcast_to(words, (*shape, 4)).reshape(-1, 4)
    keys = keys.reshape(1) if keys.size == 1 else np.broadcast_to(keys, shape).ravel()
    output = np.empty(words.shape, dtype=np.uint32)
    for start in range(0, len(words), _CHUNK):
        part = slice(start, start + _CHUNK)
        output[part] = _encrypt(words[part].T, keys if keys.size == 1 else keys[part])
    return output.reshape(*shape, 4)


def _encrypt(words: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The ten rounds, for counters `(4, N)` and keys `(N,)` or `(1,)`: shape `(N, 4)`, upper halves meaningless."""
    even, odd = words[0::2].copy(), words[1::2].copy()
    round_key = np.stack((keys & _LOW, keys >> _WORD))
    product = np.empty_like(even)
    for _ in range(ROUNDS):
        # Word 0 takes the high half of word 2's product and word 2 that of word 0's: hence the flips. The low halves
        # become the odd words; their upper bits are cut off when the next round has mixed them in.
        np.multiply(even, _FACTORS, out=product)
        np.right_shift(product[::-1], _WORD, out=even)
        even ^= odd
        even ^= round_key
        even &= _LOW
        odd, product = product[::-1], odd
        round_key = (round_key + _STEPS) & _LOW
    return np.stack((even[0], odd[0], even[1], odd[1]), axis=-1)


def blocks(key: int | NDArray[np.uint64], block: ArrayLike, domain: int) -> NDArray[np.uint32]:
    """The noise words of numbered blocks: `philox((block_lo, block_hi, 0, domain), key)`, shape `(*block.shape, 4)`.

    `domain` keeps the laws apart: 0 for 16-bit decisions, 1 for uniform and normal values.
    """
    number = np.asarray(block, dtype=np.uint64)
    counter = np.zeros((*number.shape, 4), dtype=np.uint64)
    counter[..., 0], counter[..., 1], counter[..., 3] = number & _LOW, number >> _WORD, domain
    return philox(counter, key)


def fold_in(key: int, n: int) -> int:
    """Derive a key: a new 64-bit key from `key` and a number, as far from both as the cipher takes it.

    `fold_in(key, n)` is words 0 and 1 of `philox((n_lo, n_hi, 0, 0x464F4C44), key)`. For one key, different n never
    give the same 128-bit block; their 64-bit keys collide no more often than random ones.

    Arguments:
        key: the parent, an unsigned 64-bit number.
        n: which child, an unsigned 64-bit number: a layer, a step, a sample.

    Raises:
        TypeError, ValueError: `key` or `n` is no integer in [0, 2**64).

    >>> hex(fold_in(0, 0)), hex(fold_in(0, 1))
    ('0x474747c87fe143bf', '0x5bc88451d59271e5')
    """
    check(UINT64, "fold_in", "key", key)
    check(UINT64, "fold_in", "n", n)
    word = blocks(int(key), np.uint64(n), FOLD_IN_DOMAIN)
    return int(word[0]) | int(word[1]) << 32
