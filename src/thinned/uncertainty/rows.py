"""Where the rows of a batch lie in a tensor that gets noise.

A row's noise must not depend on how many rows are predicted at once. So the positions of a row follow one another: the
axis of rows has the largest stride in positions, wherever it is in the tensor. An axis that holds rows and something
else (heads, windows, steps) is divided first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise.place import Placement


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows are in a tensor: on which axis, and in which order there.

    Attention weights of 2 rows with 8 heads, in a tensor of shape (16, 9, 9), have `Layout(axis=0, each=8)`.
    """

    axis: int | None = None  # the axis with the rows; None: the tensor has no rows, and one draw serves all rows
    each: int = 1  # how many entries a row has on this axis
    together: bool = True  # True: [row 0, row 0, row 1, row 1]; False: [row 0, row 1, row 0, row 1]

    def split(self, x: Tensor) -> tuple[Tensor, int | None]:
        """The tensor with an axis for the rows alone, and the number of this axis."""
        if self.axis is None or self.each == 1:
            return x, self.axis
        rows = x.shape[self.axis] // self.each
        sizes = (rows, self.each) if self.together else (self.each, rows)
        return x.unflatten(self.axis, sizes), self.axis + (not self.together)

    def rows(self, x: Tensor) -> int | None:
        """How many rows a tensor has; None if the layout has no axis of rows, -1 if the tensor does not fit it."""
        if self.axis is None or self.axis >= x.ndim:
            return None if self.axis is None else -1
        rows, rest = divmod(x.shape[self.axis], self.each)
        return -1 if rest else rows

    def shared(self, axes: Sequence[int]) -> tuple[int, ...]:
        """Axes of the tensor as axes of the tensor that `split` gives."""
        if self.axis is None or self.each == 1:
            return tuple(axes)
        return tuple(axis + (axis > self.axis) for axis in axes)


RAGGED = 2**32  # positions for each row, where its padded length depends on the other rows


def placement(
    shape: Sequence[int], rows: int | None, first: int, shared: Sequence[int], alike: bool, ragged: bool = False
) -> Placement:
    """The positions of a tensor's elements, with the axis of rows as the slowest one.

    Arguments:
        shape: the shape of the tensor.
        rows: its axis of rows, or None.
        first: the number of the tensor's first row in the whole data.
        shared: axes along which one draw is shared.
        alike: whether every row has the same noise.
        ragged: whether the number of steps depends on the other rows.

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
    """The layout of a tensor, found from its shapes with two rows and with three; None if it can't be found.

    Entries of a row on one axis are assumed to lie together; `together` tests this.

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
    """Whether a row's entries lie together: found from a tensor with two equal rows, and with the second changed."""
    assert found.axis is not None
    changed = (ours != other).movedim(found.axis, 0).flatten(1).any(1).tolist()
    last, first = changed[found.each :], changed[: found.each]
    if any(last) and not any(first):
        return True
    return not (any(changed[1::2]) and not any(changed[0::2]))


def in_order(found: Layout, ours: Tensor, other: Tensor, swapped: Tensor) -> bool:
    """Whether rows lie in the order of the batch.

    Found from a tensor with two equal rows, with the second of them changed, and with these two swapped.
    """
    split = [found.split(x) for x in (ours, other, swapped)]
    first = [x.movedim(axis or 0, 0) for x, axis in split]
    # A tensor may have more steps than another: compare those that all three have.
    here = tuple(slice(min(sizes)) for sizes in zip(*(x.shape for x in first), strict=True))
    equal, pair, back = (x[here] for x in first)
    return _alike(equal[0], pair[0]) and _alike(equal[1], back[1]) and _alike(pair[1], back[0])


def independent(two: Tensor, three: Tensor, other: Tensor, swapped: Tensor) -> bool:
    """Whether the answer to a row depends on this row alone.

    Found from the answers to two equal rows, to three, to two of which the second is changed, and to these two swapped.
    """
    if two.ndim == 0 or (len(two), len(three), len(other), len(swapped)) != (2, 3, 2, 2):
        return False
    pairs = ((two[0], two[1]), (three[0], three[2]), (two[0], other[0]), (two[0], swapped[1]), (other[1], swapped[0]))
    return all(_alike(one, another) for one, another in pairs)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, which depends on how many rows are computed at once."""
    if one.shape != other.shape:
        return False
    exact = torch.finfo(one.dtype).eps ** 0.5 if one.is_floating_point() else 0.0
    bound = exact * float(one.double().nan_to_num(0.0, 0.0, 0.0).abs().max()) if one.numel() else 0.0
    return torch.allclose(one.double(), other.double(), rtol=0.0, atol=bound, equal_nan=True)
