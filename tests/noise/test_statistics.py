"""The noise is random enough: rates and independence, each within an exact bound at a stated tail.

Every statistic has a known law when the bits are fair and independent (binomial, chi-square or Kolmogorov-Smirnov), and
its two-sided p-value must be at least TAIL. Keys are fixed, so that a test passes always or never. The last tests
show the bounds' power: a cipher of five rounds and a rate rounded to 8 bits are refused.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from thinned.noise import bernoulli, fold_in, normal, realised, uniform
from thinned.noise.law import BERNOULLI_DOMAIN, UNIFORM_DOMAIN
from thinned.noise.philox import FOLD_IN_DOMAIN, blocks

TAIL = 1e-6
SIZE = 1 << 20
KEYS = (0, 1, 2**32, 2**64 - 1, 0x0123456789ABCDEF)
Bits = NDArray[np.bool_]


def binomial(count: int | np.integer, trials: int, probability: float = 0.5) -> float:
    """Two-sided p-value of a count of successes: twice the smaller exact tail."""
    law = stats.binom(trials, probability)
    return min(1.0, 2.0 * min(float(law.cdf(count)), float(law.sf(count - 1))))


def even(counts: NDArray[np.integer]) -> float:
    """Two-sided p-value of Pearson's statistic for equally likely cells: too even is as suspect as uneven."""
    counts = counts.ravel()
    expected = counts.sum() / counts.size
    assert expected >= 16, "Pearson's statistic is chi-square only for well-filled cells"
    statistic = float(((counts - expected) ** 2).sum() / expected)
    law = stats.chi2(counts.size - 1)
    return 2.0 * min(float(law.cdf(statistic)), float(law.sf(statistic)))


def agreement(a: Bits, b: Bits) -> float:
    """p-value of the number of places where two fields of fair bits agree."""
    return binomial(np.count_nonzero(a == b), a.size)


def differing_bits(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> int:
    return int(np.count_nonzero(np.unpackbits((a ^ b).view(np.uint8))))


def first_bits(keys: NDArray[np.uint64], domain: int = BERNOULLI_DOMAIN) -> Bits:
    """The 128 bits of block 0 of every key, shape (keys, 128)."""
    words = blocks(keys, np.uint64(0), domain).astype("<u4")
    return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").astype(bool)


def children(key: int, count: int) -> NDArray[np.uint64]:
    """`fold_in(key, n)` for n = 0, 1, ..., as one array."""
    words = blocks(key, np.arange(count), FOLD_IN_DOMAIN).astype(np.uint64)
    keys: NDArray[np.uint64] = words[:, 0] | words[:, 1] << np.uint64(32)
    assert keys[-1] == fold_in(key, count - 1)
    return keys


@pytest.mark.parametrize("p", [0.001, 0.01, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("key", KEYS)
def test_rate(key: int, p: float) -> None:
    dropped = SIZE - np.count_nonzero(bernoulli(key, p, (SIZE,)))
    assert binomial(dropped, SIZE, realised(p)) > TAIL


@pytest.mark.parametrize("key", KEYS)
def test_lanes_take_every_value_equally_often(key: int) -> None:
    """All 65536 values of 4 Mi 16-bit lanes: what every threshold's rate rests on."""
    halves = blocks(key, np.arange(1 << 19), BERNOULLI_DOMAIN).astype("<u4").view("<u2")
    assert even(np.bincount(halves.ravel(), minlength=65536)) > TAIL


@pytest.mark.parametrize("key", KEYS[:3])
def test_neighbours_are_independent(key: int) -> None:
    """Lags 1 to 64 and lags of a row. At p = 1/2 agreements of all pairs are fair and independent themselves; at
    another p they are only for pairs that share no element."""
    half, tenth = bernoulli(key, 0.5, (SIZE,)), ~bernoulli(key, 0.1, (SIZE,))
    for lag in (*range(1, 65), 100, 128, 224, 256, 768, 1000, 1024, 4096, 65536):
        assert agreement(half[lag:], half[:-lag]) > TAIL, f"lag {lag} at p = 0.5"
        pairs = tenth[: SIZE // (2 * lag) * 2 * lag].reshape(-1, 2, lag)
        both = np.count_nonzero(pairs[:, 0] & pairs[:, 1])
        assert binomial(both, pairs.size // 2, realised(0.1) ** 2) > TAIL, f"lag {lag} at p = 0.1"


@pytest.mark.parametrize("key", KEYS)
def test_eight_lanes_of_a_block_are_independent(key: int) -> None:
    mask = bernoulli(key, 0.5, (SIZE // 8, 8))
    for lane in range(8):
        assert binomial(np.count_nonzero(mask[:, lane]), SIZE // 8) > TAIL
    for one, other in itertools.combinations(range(8), 2):
        assert agreement(mask[:, one], mask[:, other]) > TAIL, f"lanes {one} and {other}"
    assert even(np.bincount(np.packbits(mask), minlength=256)) > TAIL, "all 256 patterns"
    rare = ~bernoulli(key, 0.1, (SIZE // 8, 8))
    for one, other in itertools.combinations(range(8), 2):
        both = np.count_nonzero(rare[:, one] & rare[:, other])
        assert binomial(both, SIZE // 8, realised(0.1) ** 2) > TAIL, f"lanes {one} and {other}"


@pytest.mark.parametrize(
    "start", [2**32 - 2**16, *(pytest.param(start, marks=pytest.mark.long) for start in (0, 2**63))]
)
def test_consecutive_keys_are_independent(start: int) -> None:
    bits = first_bits(np.arange(1 << 17, dtype=np.uint64) + np.uint64(start))
    assert independent_rows(bits) > TAIL


@pytest.mark.long
@pytest.mark.parametrize("key", KEYS[-3:])
def test_children_are_independent(key: int) -> None:
    keys = children(key, 1 << 17)
    own_bits = np.unpackbits(keys.astype("<u8")[:, None].view(np.uint8), axis=1).astype(bool)
    assert independent_rows(own_bits) > TAIL, "the bits of the keys"
    assert independent_rows(first_bits(keys)) > TAIL, "the noise of the keys"


def independent_rows(bits: Bits) -> float:
    """The least p-value, times their number (Bonferroni), of: every column is fair; a column agrees with itself one,
    two and 1024 rows on; neighbouring columns agree."""
    columns = np.ascontiguousarray(bits.T)
    found = [binomial(np.count_nonzero(column), column.size) for column in columns]
    for step in (1, 2, 1024):
        found += [agreement(column[step:], column[:-step]) for column in columns]
    found += [agreement(one, other) for one, other in itertools.pairwise(columns)]
    return min(found) * len(found)


def test_masks_of_related_keys_are_independent() -> None:
    """Whole masks: of a key, its neighbours, its children, its grandchildren, and each key with one bit flipped."""
    key = KEYS[-1]
    keys = [
        key,
        key + 1,
        key + 2,
        *(fold_in(key, n) for n in range(6)),
        *(fold_in(fold_in(key, 0), n) for n in range(6)),
    ]
    keys += [key ^ 1 << bit for bit in range(0, 64, 5)]
    masks = [bernoulli(k, 0.5, (1 << 16,)) for k in dict.fromkeys(keys)]
    for one, other in itertools.combinations(masks, 2):
        assert agreement(one, other) > TAIL


def test_every_key_bit_and_position_bit_changes_half_of_the_block() -> None:
    assert avalanche() > TAIL


def avalanche() -> float:
    """The least p-value, times their number, of the output bits that a flipped input bit changes."""
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**64, 2048, dtype=np.uint64, endpoint=False)
    numbers = random.integers(0, 2**64, 2048, dtype=np.uint64, endpoint=False)
    plain = blocks(keys, numbers, BERNOULLI_DOMAIN)
    found = []
    for bit in np.uint64(1) << np.arange(64, dtype=np.uint64):
        for flipped in (blocks(keys ^ bit, numbers, BERNOULLI_DOMAIN), blocks(keys, numbers ^ bit, BERNOULLI_DOMAIN)):
            changed = differing_bits(plain, flipped)
            found.append(binomial(changed, 2048 * 128))
    return min(found) * len(found)


def test_laws_of_one_key_are_independent() -> None:
    """Masks, uniform fields and child keys read different blocks, though key and number are the same."""
    numbers = np.arange(1 << 15)
    words = [blocks(3, numbers, domain) for domain in (BERNOULLI_DOMAIN, UNIFORM_DOMAIN, FOLD_IN_DOMAIN)]
    for one, other in itertools.combinations(words, 2):
        assert binomial(differing_bits(one, other), one.size * 32) > TAIL


@pytest.mark.long
def test_no_block_comes_twice() -> None:
    """2**20 blocks of one key; 2**20 of 2**16 keys; 2**20 children. Their first 64 bits differ already, which random
    numbers would do in all but 2**-25 of such sets."""
    of_one = blocks(KEYS[-1], np.arange(SIZE), BERNOULLI_DOMAIN)
    of_many = blocks(np.arange(1 << 16, dtype=np.uint64)[:, None], np.arange(16), BERNOULLI_DOMAIN)
    for firsts in (of_one.view(np.uint64)[..., 0], of_many.view(np.uint64)[..., 0], children(KEYS[-1], SIZE)):
        assert np.unique(firsts).size == SIZE


@pytest.mark.parametrize("key", KEYS)
def test_uniform(key: int) -> None:
    values = uniform(key, (1 << 18,))
    assert even(np.histogram(values, bins=1 << 12, range=(0, 1))[0]) > TAIL
    assert stats.kstest(values, "uniform").pvalue > TAIL
    pairs = np.histogram2d(values[:-1:2], values[1::2], bins=64, range=((0, 1), (0, 1)))[0]
    assert even(pairs.astype(np.int64)) > TAIL, "pairs"


@pytest.mark.parametrize("key", KEYS)
def test_normal(key: int) -> None:
    values = normal(key, (1 << 18,))
    assert stats.kstest(values, "norm").pvalue > TAIL
    total = stats.norm.cdf(values.sum() / values.size**0.5)
    squares = stats.chi2(values.size).cdf((values**2).sum())
    assert min(total, 1 - total, squares, 1 - squares) > TAIL / 2, "mean and variance"
    level = np.clip((stats.norm.cdf(values) * 64).astype(np.int64), 0, 63)
    for lag in (1, 2, 4):  # the other of the pair, the other pair of the block, the next block
        pairs = level.reshape(-1, 2, lag)
        assert even(np.bincount((pairs[:, 0] * 64 + pairs[:, 1]).ravel(), minlength=4096)) > TAIL, f"lag {lag}"


def test_bounds_refuse_a_cipher_of_five_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package exports a function of the module's name.
    monkeypatch.setattr(sys.modules["thinned.noise.philox"], "ROUNDS", 5)
    assert avalanche() < TAIL


def test_bounds_refuse_a_rate_rounded_to_8_bits() -> None:
    """What 8-bit decisions would do to p = 0.01, which becomes 3 / 256."""
    dropped = SIZE - np.count_nonzero(bernoulli(0, 3 / 256, (SIZE,)))
    assert binomial(dropped, SIZE, 0.01) < TAIL


def test_bounds_refuse_a_lane_that_is_used_twice() -> None:
    mask = bernoulli(0, 0.5, (SIZE // 8, 8))
    mask[:, 5] = mask[:, 2]
    assert agreement(mask[:, 5], mask[:, 2]) < TAIL
    assert even(np.bincount(np.packbits(mask), minlength=256)) < TAIL
