"""Where the rows of a batch lie in a tensor that a model thins.

A row's noise must not depend on how many rows are predicted at once. So its positions count from the row: the axis of
rows is the slowest, wherever the model has it, and an axis that holds rows and something else (heads, windows, steps)
is taken apart first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise.place import Placement


@dataclass(frozen=True, slots=True)
class Layout:
    """Which axis of a tensor has the rows, how many entries a row has there, and whether they lie together."""

    axis: int | None = None  # None: the tensor has no rows, and one draw serves all of them
    each: int = 1  # entries a row on that axis
    together: bool = True  # [row 0, row 0, row 1, row 1], or one of every row in turn

    def split(self, x: Tensor) -> tuple[Tensor, int | None]:
        """The tensor with an axis of rows alone, and which one that is."""
        if self.axis is None or self.each == 1:
            return x, self.axis
        rows = x.shape[self.axis] // self.each
        sizes = (rows, self.each) if self.together else (self.each, rows)
        return x.unflatten(self.axis, sizes), self.axis + (not self.together)

    def rows(self, x: Tensor) -> int | None:
        """How many rows a tensor has; None where it has no axis of rows."""
        if self.axis is None or self.axis >= x.ndim:
            return None if self.axis is None else -1
        rows, rest = divmod(x.shape[self.axis], self.each)
        return -1 if rest else rows

    def shared(self, axes: Sequence[int]) -> tuple[int, ...]:
        """Axes of the tensor as axes of the tensor that `split` gives."""
        if self.axis is None or self.each == 1:
            return tuple(axes)
        return tuple(axis + (axis > self.axis) for axis in axes)


RAGGED = 2**32  # positions that a row has, where its length may be another beside other rows


def placement(
    shape: Sequence[int], rows: int | None, first: int, shared: Sequence[int], alike: bool, ragged: bool = False
) -> Placement:
    """Positions in which the rows come first.

    Arguments:
        shape: the tensor's.
        rows: its axis of rows, or None.
        first: the number, in all of the data, of the first row.
        shared: axes along which one draw is shared.
        alike: every row has the same noise.
        ragged: how many steps there are depends on the other rows.

    >>> placement((20, 3, 5), 1, 0, (), False).strides  # 3 rows of 20 steps and 5 features
    (5, 100, 1)
    >>> placement((20, 3, 5), 1, 10, (0,), False)
    Placement(shape=(20, 3, 5), strides=(0, 5, 1), base=50)
    """
    strides, unit = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        if axis != rows and axis not in shared:
            strides[axis] = unit
            unit *= shape[axis]
    base = 0
    if rows is not None and not alike and rows not in shared:
        unit = RAGGED if ragged else unit
        strides[rows] = unit
        base = unit * first
    return Placement(tuple(shape), tuple(strides), base)


def layout(two: Sequence[int], three: Sequence[int]) -> Layout | None:
    """How rows lie in a tensor, by its shapes for two rows and for three; None if they can't be told.

    Entries of a row on one axis are taken to lie together; `spread` says whether they do.

    >>> layout((2, 8), (3, 8))
    Layout(axis=0, each=1, together=True)
    >>> layout((7, 20, 2), (7, 20, 3)).axis
    2
    >>> layout((16, 9, 9), (24, 9, 9)).each
    8
    """
    if len(two) != len(three):
        return None
    differ = [axis for axis, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    if not differ:
        return Layout()
    axis = differ[0]
    each = three[axis] - two[axis]
    if len(differ) > 1 or each < 1 or two[axis] != 2 * each:
        return None
    return Layout(axis, each)


def together(found: Layout, ours: Tensor, other: Tensor) -> bool:
    """Whether a row's entries lie together, by a tensor and the same one after the second of two rows has changed."""
    assert found.axis is not None
    changed = (ours != other).movedim(found.axis, 0).flatten(1).any(1).tolist()
    last, first = changed[found.each :], changed[: found.each]
    if any(last) and not any(first):
        return True
    return not (any(changed[1::2]) and not any(changed[0::2]))


def in_order(found: Layout, ours: Tensor, other: Tensor, swapped: Tensor) -> bool:
    """Whether rows lie in the order in which they came: by two equal rows, and by a changed one after and before it."""
    split = [found.split(x) for x in (ours, other, swapped)]
    first = [x.movedim(axis or 0, 0) for x, axis in split]
    here = tuple(slice(min(sizes)) for sizes in zip(*(x.shape for x in first), strict=True))  # steps that all have
    equal, pair, back = (x[here] for x in first)
    return _alike(equal[0], pair[0]) and _alike(equal[1], back[1]) and _alike(pair[1], back[0])


def independent(two: Tensor, three: Tensor, other: Tensor, swapped: Tensor) -> bool:
    """Whether a row's answer is its own: by two and by three equal rows, and two of which one has changed."""
    if two.ndim == 0 or (len(two), len(three), len(other), len(swapped)) != (2, 3, 2, 2):
        return False
    pairs = ((two[0], two[1]), (three[0], three[2]), (two[0], other[0]), (two[0], swapped[1]), (other[1], swapped[0]))
    return all(_alike(one, another) for one, another in pairs)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, which depends on how many rows are computed at once."""
    if one.shape != other.shape:
        return False
    exact = torch.finfo(one.dtype).eps ** 0.5 if one.is_floating_point() else 0.0
    bound = exact * float(one.double().nan_to_num(0.0, 0.0, 0.0).abs().max()) if one.numel() else 0.0
    return torch.allclose(one.double(), other.double(), rtol=0.0, atol=bound, equal_nan=True)
