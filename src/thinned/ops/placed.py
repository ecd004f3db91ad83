"""A key that knows of which part of a batch its tensor is, and who gives one to calls that name none.

Streams (`thinned.nn.stream`) hand such keys to the operators; the operators know nothing else of streams.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from ..noise import Part, Rows

Parts = tuple[Part | Rows, ...]


class Placed(NamedTuple):
    """A 0-dim int64 key, and the parts of a batch, the outermost first, that its tensor is."""

    key: Tensor
    parts: Parts = ()


class Source(Protocol):
    """Whoever has a key for a call on this input."""

    def draw(self, input: Tensor) -> Placed: ...


# The innermost active stream's site for calls that belong to no module. None: keys come from torch's generator.
ambient: Source | None = None
