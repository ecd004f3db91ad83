"""Parts of a batch: every row of the whole is named once, however the batch was cut, and cuts nest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from thinned.noise import place
from thinned.noise.part import Part, Rows, locate

WHOLE = (12, 3, 2)


def positions(shape: Sequence[int], parts: Sequence[Part | Rows], batch_dim: int = 0) -> NDArray[np.uint64]:
    offset, step, whole = locate(shape, parts, batch_dim)
    return place(shape, offset=offset, step=step, global_shape=whole).positions()


EVERYTHING = positions(WHOLE, [])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 12])
def test_equal_parts(count: int) -> None:
    for index in range(count):
        rows = slice(index * 12 // count, (index + 1) * 12 // count)
        assert np.array_equal(positions((12 // count, 3, 2), [Part(index, count)]), EVERYTHING[rows])
        dealt = positions((12 // count, 3, 2), [Part(index, count, interleaved=True)])
        assert np.array_equal(dealt, EVERYTHING[index::count])


def test_a_part_along_another_axis() -> None:
    assert np.array_equal(positions((12, 1, 2), [Part(2, 3, dim=1)]), EVERYTHING[:, 2:])
    both = [Part(1, 2), Part(2, 3, dim=1)]
    assert np.array_equal(positions((6, 1, 2), both), EVERYTHING[6:, 2:])


def test_any_rows() -> None:
    for rows in (range(5), range(10, 12), range(1, 12, 4), range(11, 12)):
        part = Rows(rows.start, rows.step, len(rows), 12)
        assert np.array_equal(positions((len(rows), 3, 2), [part]), EVERYTHING[rows.start : rows.stop : rows.step])
    assert positions((0, 3, 2), [Rows(12, 1, 0, 12)]).size == 0


def test_parts_nest_from_the_outside_in() -> None:
    outer = {False: EVERYTHING[6:], True: EVERYTHING[1::2]}
    for interleaved, share in outer.items():
        first = Part(1, 2, interleaved=interleaved)
        assert np.array_equal(positions((2, 3, 2), [first, Part(2, 3)]), share[4:])
        assert np.array_equal(positions((2, 3, 2), [first, Part(2, 3, interleaved=True)]), share[2::3])
        assert np.array_equal(positions((1, 3, 2), [first, Rows(5, 1, 1, 6)]), share[5:])


def test_rows_that_were_flattened_with_their_neighbours() -> None:
    """(B * T, C): the parts of B are parts of B * T."""
    flat = EVERYTHING.reshape(36, 2)
    assert np.array_equal(positions((12, 2), [Part(1, 3)]), flat[12:24])
    assert np.array_equal(positions((6, 2), [Rows(10, 1, 2, 12)]), flat[30:])


def test_a_batch_axis_that_is_not_the_first() -> None:
    """(T, B, C): the parts' axis 0 is the tensor's axis 1, and the other way round."""
    time_first = positions((3, 12, 2), [])
    assert np.array_equal(positions((3, 4, 2), [Part(2, 3)], batch_dim=1), time_first[:, 8:])
    assert np.array_equal(positions((1, 12, 2), [Part(2, 3, dim=1)], batch_dim=1), time_first[2:])


@pytest.mark.parametrize(
    ("shape", "part", "message"),
    [
        ((5, 2), Rows(0, 1, 4, 8), "Named were 4 rows; the tensor has 5"),
        ((8, 2), Rows(0, 2, 4, 8), "Named were 4 rows, 2 apart; the tensor has 8"),
        ((5,), Part(0, 2, dim=1), r"Got 1 and a tensor of shape \(5,\)"),
        ((), Part(0, 2), r"Got 0 and a tensor of shape \(\)"),
    ],
)
def test_what_is_no_part_is_refused(shape: Sequence[int], part: Part | Rows, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        locate(shape, [part])
