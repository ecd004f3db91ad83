"""A key together with the part of the batch that a tensor holds, and the source of such keys for calls without a key.

Streams (`thinned.nn.stream`) give these keys to the operators. The operators know nothing else about streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..noise import Part, Rows, locate

Parts = tuple[Part | Rows, ...]
Location = tuple[int | Tensor, Sequence[int] | None, Sequence[int] | None, Sequence[int] | None]


class Placed(NamedTuple):
    """A key, and the part of the whole batch that the input holds.

    Example: `Placed(7, (Part(1, 4),))` says that the input is the second of four equal parts of the batch. Its mask is
    then the one that these rows have in a call on the whole batch with key 7.
    """

    key: int | Tensor  # a number, or a 0-dim int64 tensor
    parts: Parts = ()  # nested parts, the outermost first; () is the whole batch

    def located(self, shape: Sequence[int], batch_dim: int | None, *given: Sequence[int] | None) -> Location:
        """The key, and `offset`, `step` and `global_shape` for `place`.

        They are computed from the parts, for a tensor of this shape. If the caller has given one of them, the given
        values are returned.
        """
        if not self.parts or batch_dim is None or any(given):
            offset, step, global_shape = given
            return self.key, offset, step, global_shape
        found = locate if torch.compiler.is_compiling() else _located
        return self.key, *found(shape, self.parts, batch_dim)


_located = lru_cache(maxsize=1024)(locate)  # a model makes the same few calls at every step


class Source(Protocol):
    """An object that gives a key to a call: the site of a stream."""

    def draw(self, input: Tensor) -> Placed: ...


# The site of the innermost active stream for calls outside of any module. None: no stream is active, and keys come from
# torch's generator.
ambient: Source | None = None
