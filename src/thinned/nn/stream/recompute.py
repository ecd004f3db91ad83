"""Which call of the forward pass a recomputation repeats.

Activation checkpointing and reversible layers run a part of the forward pass again, in the backward pass and in another
order. Such a call must get the key of the call that it repeats. Every call is written down under the *segments* that it
was made in (`segment.py` finds them). In torch's checkpoint calls repeat in their order. Elsewhere a call is known if
it is its site's only one in the segment, or the only one of the step that was made in none; or by a sample of its
input's values. Anything else is an error, never a guess.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ...ops.placed import Parts
from .segment import repeats_in_order

if TYPE_CHECKING:
    from .site_keys import Seat

SAMPLE = 32  # values of an input that are compared


@dataclass(slots=True)
class Call:
    """One call of a site: its number among the step's calls, its key, its place, and perhaps a sample of its input."""

    index: int
    key: int
    parts: Parts
    sample: Tensor | None = None


@dataclass(slots=True)
class Trace:
    """The calls of one site in one segment, and where the latest repetition of the segment began."""

    calls: list[Call] = field(default_factory=list)
    run: object = None  # which repetition: autograd's number of the backward pass
    start: int = 0  # the site's ticket when it began


class Ledger:
    """The calls of a stream's sites by segment. A segment is forgotten when its graph is."""

    def __init__(self) -> None:
        self._segments: WeakKeyDictionary[Any, dict[Seat, Trace]] = WeakKeyDictionary()

    @property
    def pending(self) -> bool:
        """Whether a segment is alive that has not been repeated yet."""
        return any(trace.run is None for traces in self._segments.values() for trace in traces.values())

    def record(self, segments: Iterable[Any], seat: Seat, call: Call) -> None:
        for segment in segments:
            trace = self._segments.setdefault(segment, {}).setdefault(seat, Trace())
            # A compiled graph may make its calls in another order than the program.
            insort(trace.calls, call, key=lambda known: known.index)

    def find(self, segment: Any, run: object, seat: Seat, ticket: int, start: int, input: Tensor | None) -> Call:
        """The call that the present one repeats.

        Arguments:
            segment: what is being repeated, or None where that is not known.
            run: which repetition of it.
            ticket: the present call's.
            start: the same, or, in a compiled graph, the ticket at which the graph began.
            input: the present call's, or None in a compiled graph.

        Raises:
            RuntimeError: nothing tells which call it is.
        """
        trace = None if segment is None else self._segments.get(segment, {}).get(seat)
        if trace is None:
            return _only(seat, seat.loose, input)
        if trace.run != run:
            trace.run, trace.start = run, start
        position = ticket - trace.start
        if position < len(trace.calls) and repeats_in_order(segment):
            return trace.calls[position]
        return _only(seat, trace.calls, input)


def _only(seat: Seat, calls: list[Call], input: Tensor | None) -> Call:
    if len(calls) == 1:
        return calls[0]
    alike = [call for call in calls if _alike(call, input)]
    if len(alike) == 1:
        return alike[0]
    found = f"{len(calls)} that it may be" if calls else "none in this step"
    raise RuntimeError(
        f"`stream`: site {seat.name!r}, called in a backward pass, must repeat a call of the forward pass that can be "
        f"told. Got {found}. Recompute with torch.utils.checkpoint, say repeats_in_order = True in an "
        "autograd.Function that does, call step() after the backward pass, or pass key= to the layer."
    )


def sampled(input: Tensor | PackedSequence) -> Tensor:
    """A few of the input's values, evenly from the whole of it, the same in every memory layout."""
    if isinstance(input, PackedSequence):
        return sampled(input.data)
    with torch.no_grad():
        if not input.numel() or not input.ndim:
            return input.clone()
        flat = torch.linspace(0, input.numel() - 1, SAMPLE, dtype=torch.float64, device=input.device).long()
        return input.detach()[torch.unravel_index(flat, input.shape)]


def _alike(call: Call, input: Tensor | None) -> bool:
    return call.sample is not None and input is not None and torch.equal(call.sample, sampled(input))
