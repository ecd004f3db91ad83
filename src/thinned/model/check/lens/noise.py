"""What rules ask of a traced forward pass: which calls thin a tensor, what comes before them, and what behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from ...inspect.place import Place
from ...known.functions import DRAWS, FUNCTIONS, INSIDE
from ...scaling.meeting import SHAPES
from ...watch.masks import MULTIPLIES
from ...watch.trace import INPUT, Call, Trace
from .examination import Examination

# Calls that give the same numbers, or some of them, in another arrangement or another precision.
VIEWS = SHAPES | {"getitem", "select", "narrow", "chunk", "split", "unbind", "as_strided"}
ACTIVATIONS = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish", "glu", "tanh"),
    *("hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "sigmoid", "logsigmoid", "threshold", "clamp"),
}
NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"}
CONVOLUTIONS = {f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in (1, 2, 3)}
LAYERS = {"linear", "bilinear", *CONVOLUTIONS}
PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum"}  # layers where they multiply by a parameter
POOLS = {f"{kind}_pool{axes}d" for kind in ("max", "avg", "lp", "fractional_max") for axes in (1, 2, 3)}
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
CELLS = {"lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}


@dataclass(frozen=True, slots=True)
class Noise:
    """A call by which noise thins a tensor in training, of torch's functions or by hand."""

    place: Place
    trace: Trace  # the pass in which it drew
    draw: Call  # the call that drew
    call: Call  # the call whose result is thinned, scaling included
    data: tuple[int, ...]  # the calls that made what it thins; INPUT for the example
    sizes: tuple[int, ...]  # of the mask, aligned with the result's axes: 1 where a draw is shared

    @property
    def elementwise(self) -> bool:
        """Whether each element has a draw of its own."""
        return self.sizes == self.call.shape

    @property
    def whole(self) -> bool:
        """Whether one draw takes out a whole sample, or all: stochastic depth."""
        return len(self.sizes) > 1 and all(size == 1 for size in self.sizes[1:]) and self.sizes != self.call.shape

    @property
    def zeroing(self) -> bool:
        """Whether what is dropped becomes 0, and not a value of SELU's."""
        return self.draw.function not in ("alpha_dropout", "feature_alpha_dropout", "gaussian_dropout")


def noises(examination: Examination) -> list[Noise]:
    """Every noise in training mode, each place's from the first of `passes` in which it drew, in order."""
    found: list[Noise] = []
    for trace in examination.passes:
        seen = {noise.place.name for noise in found}
        found += [noise for noise in noises_in(examination, trace) if noise.place.name not in seen]
    return found


def noises_in(examination: Examination, trace: Trace) -> list[Noise]:
    """Every noise of a pass, in order; of attention and recurrent layers none, which drop within."""
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
                continue  # what is masked takes a learned value, or another tensor's: not noise that zeroes
            sizes = call.mask_shape
        else:
            call, data, sizes = draw, draw.inputs[:1], draw.draws[0].shape
        if not data:
            continue
        shape = call.shape
        sizes = (1,) * (len(shape) - len(sizes)) + tuple(sizes[max(len(sizes) - len(shape), 0) :])
        found.append(Noise(place, trace, draw, scaled(trace, call), data, sizes if sizes else shape))
    return found


def _mixes(trace: Trace, draw: Call) -> bool:
    """Whether a mask chooses between two tensors, m x + (1 - m) y, as zoneout and mixup do."""
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
    """The place that a call belongs to, or None."""
    own = [place for place in examination.inspection.places if place.module == call.module]
    named = [place for place in own if place.name == place.module]
    exact = [
        place for place in own if place.kind == call.function and (place.file, place.line) == (call.file, call.line)
    ]
    return next(iter(exact or named), None)


def scaled(trace: Trace, call: Call) -> Call:
    """The last of the calls that scale a result by constants, or by what its own module made of the mask."""
    while True:
        consumers = trace.consumers(call)
        if len(consumers) != 1 or consumers[0].function not in MULTIPLIES or consumers[0].parameters:
            return call
        alone = consumers[0].inputs == (call.index,)
        if not alone and (consumers[0].module != call.module or call.applies is None):
            return call
        call = consumers[0]


def descendants(trace: Trace, index: int, until: int) -> set[int]:
    """The calls made from a call's result, itself included, up to a call."""
    found = {index}
    for call in trace.calls[index + 1 : until]:
        if found.intersection(call.inputs):
            found.add(call.index)
    return found


Through = Callable[[Call], bool]


def through(*functions: Iterable[str]) -> Through:
    """Passes calls of these functions."""
    names = set().union(*functions)
    return lambda call: call.function in names


def before(trace: Trace, sources: Iterable[int], passes: Through) -> list[int]:
    """Walk back from calls through those that pass; the calls where the walk ends, INPUT for the example."""
    ends, seen, waiting = [], set[int](), list(sources)
    while waiting:
        index = waiting.pop(0)
        if index in seen:
            continue
        seen.add(index)
        if index != INPUT and passes(trace.calls[index]):
            waiting += trace.calls[index].inputs
        else:
            ends.append(index)
    return ends


def after(trace: Trace, call: Call, passes: Through) -> tuple[list[Call], list[Call]]:
    """Walk on from a call through those that pass: the calls passed, itself first, and those where the walk ends."""
    passed, seen = [call], {call.index}
    ends: list[Call] = []
    for at in passed:
        for consumer in trace.consumers(at):
            if consumer.index not in seen:
                seen.add(consumer.index)
                (passed if passes(consumer) else ends).append(consumer)
    return passed, ends


def is_layer(examination: Examination, call: Call) -> bool:
    """Whether a call multiplies by weights."""
    if call.function in LAYERS | RECURRENT | CELLS:
        return True
    weights = (parameter(examination, name) for name in call.parameters)
    return call.function in PRODUCTS and any(weight is not None and weight.ndim >= 2 for weight in weights)


def parameter(examination: Examination, name: str) -> torch.Tensor | None:
    """A parameter by its qualified name; None for a buffer."""
    owner, _, own = name.rpartition(".")
    module = examination.modules.get(owner)
    return None if module is None else module._parameters.get(own)


def kernel(examination: Examination, call: Call) -> int:
    """Over how many positions a convolution reaches: 1 for a pointwise one."""
    weight = next((found for name in call.parameters if (found := parameter(examination, name)) is not None), None)
    return int(weight[0, 0].numel()) if weight is not None and weight.ndim >= 3 else 1


def ancestors(trace: Trace) -> list[int]:
    """Of each call, the calls that it descends from, as bits."""
    above: list[int] = []
    for call in trace.calls:
        bits = 0
        for index in call.inputs:
            if index != INPUT:
                bits |= above[index] | 1 << index
        above.append(bits)
    return above


def residual(trace: Trace, above: list[int], call: Call) -> int | None:
    """The skip that a residual addition adds a branch to: INPUT or a call; None for any other call."""
    if call.function != "add" or len(call.inputs) != 2:
        return None
    for skip, branch in (call.inputs, call.inputs[::-1]):
        if branch == INPUT:
            continue
        if skip == INPUT or above[branch] >> skip & 1:
            return skip
    return None


_DROPOUTS = {name for name in FUNCTIONS if "drop" in name} | {"gaussian_dropout"}


def is_dropout(call: Call) -> bool:
    """Whether a call drops elements of its first argument by a function made for it."""
    return call.function in _DROPOUTS
