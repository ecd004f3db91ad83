"""The generator's shapes: keys and counters broadcast, and no chunk border shows."""

from __future__ import annotations

import numpy as np
import pytest

from thinned.noise import fold_in, philox
from thinned.noise.philox import _CHUNK, FOLD_IN_DOMAIN, blocks


def test_every_counter_is_encrypted_alone() -> None:
    """Chunks are a matter of speed: values around their borders are those of the counter by itself."""
    numbers = np.arange(2 * _CHUNK + 3, dtype=np.uint64)
    many = blocks(5, numbers, 0)
    for number in (0, _CHUNK - 1, _CHUNK, 2 * _CHUNK - 1, 2 * _CHUNK, 2 * _CHUNK + 2):
        assert many[number].tolist() == philox([number, 0, 0, 0], 5).tolist()
    keyed = philox(np.zeros(4, dtype=np.uint64), numbers)
    for key in (0, _CHUNK - 1, _CHUNK, 2 * _CHUNK + 2):
        assert keyed[key].tolist() == philox([0, 0, 0, 0], key).tolist()


@pytest.mark.parametrize(
    ("counter_shape", "key_shape"),
    [
        ((), ()),
        ((), (1,)),
        ((), (3,)),
        ((5,), ()),
        ((5,), (1,)),
        ((5,), (5,)),
        ((2, 1), (3,)),
        ((0,), ()),
        ((2, 0), (1,)),
    ],
)
def test_keys_broadcast_against_counters(counter_shape: tuple[int, ...], key_shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    counters = rng.integers(0, 2**32, (*counter_shape, 4), dtype=np.uint64)
    keys = rng.integers(0, 2**64 - 1, key_shape, dtype=np.uint64)
    words = philox(counters, keys)
    shape = np.broadcast_shapes(counter_shape, key_shape)
    assert words.shape == (*shape, 4)
    assert words.dtype == np.uint32
    for index in np.ndindex(shape):
        counter = np.broadcast_to(counters, (*shape, 4))[index]
        assert words[index].tolist() == philox(counter, int(np.broadcast_to(keys, shape)[index])).tolist()


def test_counters_are_left_as_they_were() -> None:
    counters = np.arange(8, dtype=np.uint64).reshape(2, 4)
    philox(counters, 1)
    assert np.array_equal(counters.ravel(), np.arange(8))


def test_child_key_is_the_first_two_words_of_its_own_domain() -> None:
    word = blocks(11, np.uint64(2**32 + 7), FOLD_IN_DOMAIN)
    assert word.tolist() == philox([7, 1, 0, 0x464F4C44], 11).tolist()
    assert fold_in(11, 2**32 + 7) == int(word[0]) + (int(word[1]) << 32)


@pytest.mark.parametrize(("key", "n"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_numbers_outside_64_bits_are_refused(key: int, n: int) -> None:
    with pytest.raises(ValueError, match=r"`fold_in`: `(key|n)` must be an integer in \[0, 2\*\*64\)"):
        fold_in(key, n)


@pytest.mark.parametrize("key", [True, 1.0, "1", None])
def test_what_is_no_integer_is_refused(key: object) -> None:
    with pytest.raises(TypeError, match=r"`fold_in`: `key` must be an integer"):
        fold_in(key, 0)  # type: ignore[arg-type]
