"""Which call of the forward pass a recomputation repeats.

Activation checkpointing and reversible layers run a part of the forward pass again, in the backward pass and in another
order. A repeated call must get the key of the call that it repeats. So every call is written down under the *segments*
that it was made in: the stretches of the forward pass that may be run again (`segment.py` finds them).

In torch's checkpoint, calls repeat in their order. Elsewhere a call is recognised where its site has one call only in
the segment, or one only in the step outside of all segments; or by a sample of its input's values. Where none of this
tells, it is an error, never a guess.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ...ops.placed import Parts
from .segment import repeats_in_order

SAMPLE = 32  # values of an input that are compared


@dataclass(slots=True)
class SiteCall:
    """One call of a site: its number among the site's calls in the step, its key, and its part of the batch.

    `sample` is of its input, where the call may be known again by nothing else.
    """

    index: int
    key: int
    parts: Parts
    sample: Tensor | None = None


@dataclass(slots=True)
class SegmentCalls:
    """The calls of one site in one segment, and where the latest repetition of the segment began."""

    calls: list[SiteCall] = field(default_factory=list)
    run: object = None  # which repetition: autograd's number of the backward pass
    start: int = 0  # the site's ticket when it began


class RepeatedSite(Protocol):
    """What is asked of a site whose call is a repetition."""

    @property
    def name(self) -> str: ...
    @property
    def loose(self) -> list[SiteCall]:
        """The step's calls in no segment."""


class Ledger:
    """The calls of a stream's sites by segment. A segment is forgotten when its graph is."""

    def __init__(self) -> None:
        self._segments: WeakKeyDictionary[Any, dict[RepeatedSite, SegmentCalls]] = WeakKeyDictionary()

    @property
    def pending(self) -> bool:
        """Whether a segment is alive that has not been repeated yet."""
        return any(calls.run is None for sites in self._segments.values() for calls in sites.values())

    def knows(self, segment: Any) -> bool:
        """Whether calls were made in a segment."""
        return segment is not None and segment in self._segments

    def record(self, segments: Iterable[Any], site: RepeatedSite, call: SiteCall) -> None:
        for segment in segments:
            known = self._segments.setdefault(segment, {}).setdefault(site, SegmentCalls())
            # A compiled graph may make its calls in another order than the program.
            insort(known.calls, call, key=lambda earlier: earlier.index)

    def find(
        self, segment: Any, run: object, site: RepeatedSite, ticket: int, start: int, input: Tensor | None
    ) -> SiteCall:
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
        known = None if segment is None else self._segments.get(segment, {}).get(site)
        if known is None:
            return _only(site, site.loose, input)
        if known.run != run:
            known.run, known.start = run, start
        position = ticket - known.start
        if position < len(known.calls) and repeats_in_order(segment):
            return known.calls[position]
        return _only(site, known.calls, input)


def _only(site: RepeatedSite, calls: list[SiteCall], input: Tensor | None) -> SiteCall:
    if len(calls) == 1:
        return calls[0]
    alike = [call for call in calls if _alike(call, input)]
    if len(alike) == 1:
        return alike[0]
    found = f"{len(calls)} that it may be" if calls else "none in this step"
    raise RuntimeError(
        f"`stream`: site {site.name!r}, called in a backward pass, must repeat a call of the forward pass that can be "
        f"told. Got {found}. Recompute with torch.utils.checkpoint, say repeats_in_order = True in an "
        "autograd.Function that does, call step() after the backward pass, or pass key= to the layer."
    )


def sampled(input: Tensor | PackedSequence) -> Tensor:
    """A few of the input's values, evenly from the whole of it, the same in every memory layout."""
    if isinstance(input, PackedSequence):
        return sampled(input.data)
    with torch.no_grad():
        if input.layout is not torch.strided or input.is_nested:
            return sampled(input.coalesce().values() if input.layout is torch.sparse_coo else input.values())
        if not input.numel() or not input.ndim:
            return input.clone()
        flat = torch.linspace(0, input.numel() - 1, SAMPLE, dtype=torch.float64, device=input.device).long()
        return input.detach()[torch.unravel_index(flat, input.shape)]


def _alike(call: SiteCall, input: Tensor | None) -> bool:
    return call.sample is not None and input is not None and torch.equal(call.sample, sampled(input))
