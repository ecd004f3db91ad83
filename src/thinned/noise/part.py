"""Which rows of a larger batch a tensor holds: what turns a microbatch or a rank's share into global positions.

A part is an affine map along one axis: local row i lies at `first + i * apart` of `total`. Parts nest, a microbatch
inside a rank's share, and compose from the inside out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Affine = tuple[int, int, int]  # first, apart, total


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of `count` equal parts along axis `dim`; the size of a part is that of the tensor at hand.

    Contiguous: rows `index * size` up to `(index + 1) * size`. Interleaved: every `count`-th row from `index` on, the
    order in which `torch.utils.data.DistributedSampler` deals samples out.
    """

    index: int
    count: int
    dim: int = 0
    interleaved: bool = False

    def outward(self, first: int, apart: int, total: int) -> Affine:
        """Where rows at `first + i * apart` of this part's `total` lie in the whole."""
        if self.interleaved:
            return first * self.count + self.index, apart * self.count, total * self.count
        return first + self.index * total, apart, total * self.count


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows `start`, `start + step`, ..., `length` of them, of `total` along axis `dim`."""

    start: int
    step: int
    length: int
    total: int
    dim: int = 0

    def outward(self, first: int, apart: int, total: int) -> Affine:
        """Where rows at `first + i * apart` of these lie in the whole.

        A tensor may hold several rows for each of these, as one of shape `(B * T, C)` does, if they lie side by side.

        Raises:
            ValueError: the tensor's rows cannot be these.
        """
        each, rest = divmod(total, self.length) if self.length else (1, total)
        if rest or (each != 1 and self.step != 1):
            what = f"{self.length} rows" if self.step == 1 else f"{self.length} rows, {self.step} apart"
            raise ValueError(
                f"`rows`: axis {self.dim} of a tensor must have the rows that were named, or the same number of rows "
                f"for each where they are neighbours. Named were {what}; the tensor has {total}. Name the rows that "
                "the batch has, or keep the batch an axis of its own."
            )
        return first * self.step + self.start * each, apart * self.step, self.total * each


def locate(
    shape: Sequence[int], parts: Sequence[Part | Rows], batch_dim: int = 0
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """`offset`, `step` and `global_shape` for `place`, of a tensor that is a part of a part of ... a batch.

    Arguments:
        shape: the tensor's.
        parts: the outermost first.
        batch_dim: which axis of the tensor is the parts' axis 0; that one and axis 0 change places.

    Raises:
        ValueError: a part along an axis that the tensor does not have, or what `Rows` refuses.

    >>> locate((4, 3), [Part(1, 2)])
    ((4, 0), (1, 1), (8, 3))
    >>> locate((4, 3), [Part(1, 2, interleaved=True)])
    ((1, 0), (2, 1), (8, 3))
    """
    first, apart, whole = [0] * len(shape), [1] * len(shape), list(shape)
    for part in reversed(parts):
        axis = batch_dim if part.dim == 0 else 0 if part.dim == batch_dim else part.dim
        if axis >= len(shape):
            raise ValueError(
                f"`part`: `dim` must be an axis of every tensor that gets noise. Got {part.dim} and a tensor of shape "
                f"{tuple(shape)}. Name the axis that was split, or call that layer outside the `with`."
            )
        first[axis], apart[axis], whole[axis] = part.outward(first[axis], apart[axis], whole[axis])
    return tuple(first), tuple(apart), tuple(whole)
