"""A key that knows of which part of a batch its tensor is, and who gives one to calls that name none.

Streams (`thinned.nn.stream`) hand such keys to the operators; the operators know nothing else of streams.
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
    """A key, as a number or a 0-dim int64 tensor, and the parts of a batch, the outermost first, that its tensor is."""

    key: int | Tensor
    parts: Parts = ()

    def located(self, shape: Sequence[int], batch_dim: int | None, *given: Sequence[int] | None) -> Location:
        """The key, and `place`'s `offset`, `step` and `global_shape` for a tensor of this shape: the given, if any."""
        if not self.parts or batch_dim is None or any(given):
            offset, step, global_shape = given
            return self.key, offset, step, global_shape
        found = locate if torch.compiler.is_compiling() else _located
        return self.key, *found(shape, self.parts, batch_dim)


_located = lru_cache(maxsize=1024)(locate)  # a model's calls are few and alike


class Source(Protocol):
    """Whoever has a key for a call on this input."""

    def draw(self, input: Tensor) -> Placed: ...


# The innermost active stream's site for calls that belong to no module. None: keys come from torch's generator.
ambient: Source | None = None
