"""The keys of one site in a stream: which key its next call has.

A site's first call in a step has the site's key of that step; its call number c = 1, 2, ... has `fold_in(that key, c)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from ..._torch import exporting
from ...ops.fold import fold_number
from ...ops.placed import Parts, Placed
from . import graph, segment
from .recompute import Ledger, SiteCall, sampled

COUNTS = 64  # whose tensors a site has ready, at most


class SiteKeys:
    """The keys of one site of an active stream.

    `_ticket` counts every draw of the step, repetitions too; `index` counts calls without them: the next call's number.
    """

    def __init__(self, name: str, ledger: Ledger, number: int, key: Tensor) -> None:
        self.name = name
        self.parts: Parts = ()
        self._ledger = ledger
        self._counts: dict[tuple[int, int], Tensor] = {}  # kept ready: steps count alike
        self._begin(number, key)

    def begin(self, number: int, key: Tensor) -> None:
        """Begin another step, in which the site has this key, as a number and as a tensor."""
        self.close()
        self._begin(number, key)

    def _begin(self, number: int, key: Tensor) -> None:
        self._number, self.key = number, key
        self.loose: list[SiteCall] = []  # the step's calls in no segment
        self._count(0, 0)
        self._start = 0  # the ticket at which the latest graph began
        self._made: set[int] = set()  # the tickets that it has drawn
        graph.add(number, self)

    def close(self) -> None:
        graph.remove(self._number, self)

    def _count(self, ticket: int, index: int) -> None:
        self._ticket, self._index = ticket, index
        count = self._counts.get((ticket, index))
        if count is None:
            if len(self._counts) == COUNTS:
                self._counts.clear()
            count = self._counts[ticket, index] = integers((ticket, index))
        self.count = count

    @property
    def index(self) -> int:
        """The number of the next call."""
        return self._index

    @index.setter
    def index(self, value: int) -> None:
        self._count(self._ticket, value)

    def draw(self, input: Tensor) -> Placed:
        """The key of the present call, and its place."""
        if torch.compiler.is_compiling():
            return self._trace()
        ticket, index = self._ticket, self._index
        if segment.plain():
            call, repeated = self._recorded(SiteCall(index, self.keyed(index), self.parts)), False
        else:
            call, repeated = self._settle(ticket, index, ticket, input)
        self._count(ticket + 1, index if repeated else index + 1)
        return Placed(call.key, call.parts)

    def repeats(self) -> bool:
        """Whether what autograd repeats now was made with keys of this site's stream."""
        return self._ledger.knows(segment.surroundings().repeated)

    def keyed(self, index: int) -> int:
        """The key of call number `index` of this step."""
        return fold_number(self._number, index) if index else self._number

    def _trace(self) -> Placed:
        if exporting():
            raise RuntimeError(
                f"`stream`: site {self.name!r} must not be exported while it is in a stream. Its key would be a "
                "constant of the program. Export in eval mode, or outside the `with`."
            )
        return Placed(graph.ask(self.key, self.count), self.parts)

    def made(self, ticket: int) -> bool:
        """Whether a graph has made this call already."""
        return ticket < self._start or ticket in self._made

    def run(self, ticket: int, index: int, start: int) -> int:
        """The key of a call in a running graph, which began at the ticket `start` and makes its calls in any order."""
        if segment.plain():
            call, repeated = self._recorded(SiteCall(index, self.keyed(index), self.parts)), False
        else:
            call, repeated = self._settle(ticket, index, start, None)
        if call.parts != self.parts:
            raise RuntimeError(
                f"`stream`: site {self.name!r}, in a compiled graph that a checkpoint outside of it repeats, must be "
                f"repeated within the same part or rows. Got {self.parts} for what was {call.parts}. Call backward() "
                "inside that `with`, or compile the checkpoint too."
            )
        if start != self._start:
            self._start, self._made = start, set()
        self._made.add(ticket)
        self._count(max(self._ticket, ticket + 1), self._index if repeated else max(self._index, index + 1))
        return call.key

    def _settle(self, ticket: int, index: int, start: int, input: Tensor | None) -> tuple[SiteCall, bool]:
        """A call that may be repeated, or that is a repetition, and whether it is one; `input` is None in a graph."""
        opened, target, run = segment.surroundings()
        repeated = target is not None or segment.in_backward()
        if repeated:
            call = self._ledger.find(target, run, self, ticket, start, input)
        else:
            call = SiteCall(index, self.keyed(index), self.parts)
            if input is not None and not (opened and all(map(segment.repeats_in_order, opened))):
                call.sample = sampled(input)
            if not opened:
                self._recorded(call)
        self._ledger.record(opened, self, call)
        return call, repeated

    def _recorded(self, call: SiteCall) -> SiteCall:
        if call.sample is not None or len(self.loose) < 2:  # without a sample two are as hard to tell as many
            self.loose.append(call)
        return call

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(None), ()  # a copy of a model is outside the stream


def integers(values: Sequence[int]) -> Tensor:
    """A tensor that autograd can save, wherever it is made."""
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        return torch.tensor(values, dtype=torch.int64, device="cpu")
