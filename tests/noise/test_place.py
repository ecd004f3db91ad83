"""Positions: a block of the whole has the whole's noise, however it was cut and whichever axes share a draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.by_chance import fuzzed

from thinned.noise import bernoulli, normal, place, uniform

Axes = tuple[int, ...]


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Axes, Axes, Axes, Axes]:
    """A whole of up to four axes, a block inside it and some shared axes."""
    whole = draw(st.lists(st.integers(1, 6), max_size=4).map(tuple))
    start = tuple(draw(st.integers(0, size - 1)) for size in whole)
    shape = tuple(draw(st.integers(0, size - first)) for size, first in zip(whole, start, strict=True))
    shared = tuple(draw(st.sets(st.integers(0, len(whole) - 1)))) if whole else ()
    return whole, shape, start, shared


@pytest.mark.long
@fuzzed(150)
@given(cut=cuts(), key=st.integers(0, 2**64 - 1))
def test_a_shard_is_a_slice_of_the_whole(cut: tuple[Axes, Axes, Axes, Axes], key: int) -> None:
    whole, shape, start, shared = cut
    inside = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
    block: dict[str, Any] = {"offset": start, "global_shape": whole, "broadcast_dims": shared}
    laws: list[Callable[..., NDArray[Any]]] = [
        partial(bernoulli, key, 0.5),
        partial(uniform, key),
        partial(normal, key),
    ]
    for law in laws:
        assert np.array_equal(law(shape, **block), law(whole, broadcast_dims=shared)[inside])


@pytest.mark.long
@fuzzed(150)
@given(cut=cuts())
def test_positions_are_row_major_in_the_noise_shape(cut: tuple[Axes, Axes, Axes, Axes]) -> None:
    whole, shape, start, shared = cut
    where = place(shape, broadcast_dims=shared, offset=start, global_shape=whole)
    noise_shape = tuple(1 if axis in shared else size for axis, size in enumerate(whole))
    numbers = np.arange(math.prod(noise_shape)).reshape(noise_shape)
    inside = tuple(
        slice(0, 1) if axis in shared else slice(first, first + size)
        for axis, (first, size) in enumerate(zip(start, shape, strict=True))
    )
    assert np.array_equal(np.broadcast_to(where.positions(), shape), np.broadcast_to(numbers[inside], shape))


@fuzzed(100)
@given(cut=cuts(), data=st.data())
def test_a_strided_block_lies_where_a_strided_slice_does(
    cut: tuple[Axes, Axes, Axes, Axes], data: st.DataObject
) -> None:
    whole, _, start, shared = cut
    step = tuple(data.draw(st.integers(1, size)) for size in whole)
    inside = tuple(slice(first, None, each) for first, each in zip(start, step, strict=True))
    expected = np.broadcast_to(place(whole, broadcast_dims=shared).positions(), whole)[inside]
    where = place(expected.shape, broadcast_dims=shared, offset=start, step=step, global_shape=whole)
    assert np.array_equal(np.broadcast_to(where.positions(), expected.shape), expected)


def test_shared_axes_share_one_draw() -> None:
    mask = bernoulli(3, 0.5, (4, 6, 5), broadcast_dims=(0, -1))
    assert (mask == mask[:1, :, :1]).all()
    assert np.array_equal(mask[0, :, 0], bernoulli(3, 0.5, (6,)))


def test_the_end_of_the_field_is_within_reach() -> None:
    """The last of 2**64 positions; one more draw is an error, not a wrap."""
    last = place((1,), offset=(2**64 - 1,), global_shape=(2**64,))
    assert last.base == 2**64 - 1
    assert bernoulli(1, 0.5, (1,), offset=(2**64 - 1,), global_shape=(2**64,)).shape == (1,)
    with pytest.raises(ValueError, match=r"at most 2\*\*64 draws"):
        place((1,), global_shape=(2**64 + 1,))
    assert place((2, 3), broadcast_dims=[0], global_shape=(2**64, 2**64)).strides == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (2, 3), "offset": (0,)}, "one number for each of the 2 axes"),
        ({"shape": (2, 3), "global_shape": (2, 3, 4)}, "one number for each of the 2 axes"),
        ({"shape": (2, 3), "step": (2,)}, "one number for each of the 2 axes"),
        ({"shape": (2,), "step": (2,)}, r"Got \[0, 3\) on axis 0 of size 2, in steps of 2"),
        ({"shape": (2,), "step": (0,)}, "in steps of 0"),
        ({"shape": (2, 3), "offset": (0, 1)}, r"Got \[1, 4\) on axis 1 of size 3"),
        ({"shape": (2, 3), "offset": (-1, 0)}, r"Got \[-1, 1\) on axis 0 of size 2"),
        ({"shape": (2, 3), "global_shape": (1, 3)}, r"Got \[0, 2\) on axis 0 of size 1"),
        ({"shape": (2, 3), "broadcast_dims": (2,)}, r"axes must be in \[-2, 2\) for a 2-D input\. Got 2"),
        ({"shape": (2, 3), "broadcast_dims": (-3,)}, r"axes must be in \[-2, 2\) for a 2-D input\. Got -3"),
        ({"shape": (2, 3), "broadcast_dims": (1, -1)}, r"axes must differ\. Got \(1, -1\)"),
    ],
)
def test_what_lies_nowhere_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place(**arguments)
