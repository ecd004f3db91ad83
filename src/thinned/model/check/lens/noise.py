"""Finds the noise in a trace: the calls that drop units of a tensor, with the calls before and after them."""

from __future__ import annotations

from dataclasses import dataclass

from ...inspect.place import Place
from ...known.functions import DRAWS
from ...known.operations import INSIDE, MULTIPLIES
from ...watch.graph import Graph
from ...watch.trace import Call, Trace
from .examination import Examination


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise that acts on a tensor in training, by a function of torch or by a mask made by hand.

    Example, with `mask = torch.rand_like(x) > p` and `y = x * mask / q`: `draw` is the call of `rand_like`, `call` the
    division, and `data` has the call that made `x`. For `F.dropout(x)`, `draw` and `call` are the same.
    """

    place: Place
    graph: Graph  # of the trace in which the noise was drawn
    draw: Call  # the call that drew
    call: Call  # the call that makes the final result, after all scaling
    data: tuple[int, ...]  # the calls that made the tensor on which the noise acts; INPUT for the model's input
    sizes: tuple[int, ...]  # the mask's shape, aligned with the result's axes: 1 where a draw is shared

    @property
    def trace(self) -> Trace:
        """The trace in which the noise was drawn."""
        return self.graph.trace

    @property
    def elementwise(self) -> bool:
        """Whether each element of the tensor has its own draw."""
        return self.sizes == self.call.shape

    @property
    def whole(self) -> bool:
        """Whether one draw drops a whole sample or the whole batch, as in stochastic depth."""
        return len(self.sizes) > 1 and all(size == 1 for size in self.sizes[1:]) and self.sizes != self.call.shape

    @property
    def zeroing(self) -> bool:
        """Whether dropped units become 0: not so in alpha dropout and in Gaussian dropout."""
        return self.draw.function not in ("alpha_dropout", "feature_alpha_dropout", "gaussian_dropout")


def noises(examination: Examination) -> list[Noise]:
    """Every noise in training mode, in order. Each place has the noise of the first of `passes` in which it drew."""
    found: list[Noise] = []
    for trace in examination.passes:
        seen = {noise.place.name for noise in found}
        found += [noise for noise in noises_in(examination, trace) if noise.place.name not in seen]
    return found


def noises_in(examination: Examination, trace: Trace) -> list[Noise]:
    """Every noise of a trace, in order, except in attention and recurrent layers, which drop inside of their call."""
    applied = {call.applies: call for call in trace.calls if call.applies is not None}
    found = []
    for draw in trace.calls:
        place = place_of(examination, draw)
        if place is None or not draw.draws or draw.function in INSIDE:
            continue
        if draw.function in DRAWS:
            call = applied.get(draw.index)
            if call is None:
                continue
            random = descendants(trace, draw.index, until=call.index)
            data = tuple(index for index in call.inputs if index not in random)
            if (data and call.parameters) or _mixes(trace, draw):
                continue  # masked units become a learned value or another tensor's, not 0
            sizes = call.mask_shape
        else:
            call, data, sizes = draw, draw.inputs[:1], draw.draws[0].shape
        if not data:
            continue
        shape = call.shape
        sizes = (1,) * (len(shape) - len(sizes)) + tuple(sizes[max(len(sizes) - len(shape), 0) :])
        found.append(Noise(place, examination.graph(trace), draw, scaled(trace, call), data, sizes if sizes else shape))
    return found


def _mixes(trace: Trace, draw: Call) -> bool:
    """Whether a mask chooses between two tensors, m x + (1 - m) y, as in zoneout and mixup."""
    masks = {draw.index}
    for call in trace.calls[draw.index + 1 :]:
        if call.inputs and masks.issuperset(call.inputs):
            masks.add(call.index)
    thinned = {
        consumer.index
        for index in masks
        for consumer in trace.consumers(index)
        if not masks.issuperset(consumer.inputs) and consumer.function in MULTIPLIES
    }
    return any(
        len(thinned.intersection(consumer.inputs)) > 1 for index in thinned for consumer in trace.consumers(index)
    )


def place_of(examination: Examination, call: Call) -> Place | None:
    """The place of `inspection` to which a call belongs; None if there is none."""
    own = [place for place in examination.inspection.places if place.module == call.module]
    named = [place for place in own if place.name == place.module]
    exact = [
        place for place in own if place.kind == call.function and (place.file, place.line) == (call.file, call.line)
    ]
    return next(iter(exact or named), None)


def scaled(trace: Trace, call: Call) -> Call:
    """The last call in the chain of scalings after a call.

    A scaling multiplies by constants, or, in the module that applied the mask, by another tensor.
    """
    while True:
        consumers = trace.consumers(call)
        if len(consumers) != 1 or consumers[0].function not in MULTIPLIES or consumers[0].parameters:
            return call
        alone = consumers[0].inputs == (call.index,)
        if not alone and (consumers[0].module != call.module or call.applies is None):
            return call
        call = consumers[0]


def descendants(trace: Trace, index: int, until: int) -> set[int]:
    """The indices of a call and of the calls before `until` that are computed from its result."""
    found = {index}
    for call in trace.calls[index + 1 : until]:
        if found.intersection(call.inputs):
            found.add(call.index)
    return found
