"""The roles of the calls in a forward pass: layers and what they read, residual additions, gates.

Plans and rules both ask here, so that they agree about one model. No answer depends on the names of modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch

from ...nn.names import named_modules
from ...once import once
from ..known.modules import rate_attributes
from ..known.operations import (
    ACTIVATIONS,
    CONVOLUTIONS,
    DROPOUTS,
    GATES,
    LAYERS,
    PRODUCTS,
    RESIZES,
    WHOLE_POOLS,
)
from .shape import shape_of
from .trace import INPUT, Call, Trace

Module = torch.nn.Module
Passes = Callable[[Call], bool]  # whether a walk through the graph goes on at a call


def through(*functions: Iterable[str]) -> Passes:
    """The condition of a walk that goes on at calls of these functions."""
    names = set().union(*functions)
    return lambda call: call.function in names


@dataclass(slots=True)
class Read:
    """What a layer reads: the calls between the layers before it and itself."""

    calls: list[Call] = field(default_factory=list)  # nearest first
    activations: list[Call] = field(default_factory=list)
    dropouts: list[Call] = field(default_factory=list)
    layers: list[Call] = field(default_factory=list)  # where the walk ended: layers, attention, residual additions
    example: bool = False  # whether it reads the model's input without a layer between

    def has(self, functions: Iterable[str]) -> bool:
        return not {call.function for call in self.calls}.isdisjoint(functions)


@dataclass(frozen=True, slots=True)
class Residual:
    """A residual addition: of a tensor (the skip path) and what layers made from it (the branch).

    In `h = norm(x); y = h + fc2(relu(fc1(h)))`, `add` is the addition, `skip` is the call of norm, `branch` is the call
    of fc2, and `calls` are those of fc1, relu and fc2.
    """

    add: Call
    skip: int  # the call that made the tensor on the skip path; INPUT for the example
    unchanged: bool  # False where the skip path has calls of its own, such as a projection or a normalisation
    branch: int  # the last call of the branch
    calls: frozenset[int]  # all calls of the branch


class Graph:
    """The calls of a trace, and the questions that can be asked about their roles."""

    def __init__(self, trace: Trace, model: Module, example: Iterable[torch.Tensor]) -> None:
        self.trace = trace
        self.modules = {**dict(named_modules(model)), **trace.loose}
        self.parameters = {
            f"{name}.{key}" if name else key: parameter
            for name, module in named_modules(model)
            for key, parameter in module._parameters.items()
            if parameter is not None
        }
        self._example = {shape_of(tensor) for tensor in example}
        self._above: list[int] = []  # by call: the calls that its result is made from, as a bit mask
        for call in trace.calls:
            above = 0
            for index in call.inputs:
                if index != INPUT:
                    above |= self._above[index] | 1 << index
            self._above.append(above)
        self._gates: dict[int, bool] = {}

    # Walks.

    def before(self, sources: Iterable[int], passes: Passes) -> list[int]:
        """Walk back from calls, on through those that pass. Returns: the calls at the ends; INPUT for the example."""
        ends, seen, waiting = [], set[int](), list(sources)
        while waiting:
            index = waiting.pop(0)
            if index in seen:
                continue
            seen.add(index)
            if index != INPUT and passes(self.trace.calls[index]):
                waiting += self.trace.calls[index].inputs
            else:
                ends.append(index)
        return ends

    def after(self, call: Call, passes: Passes) -> tuple[list[Call], list[Call]]:
        """Walk forward from a call, on through those that pass. Returns: `call` and those that passed; the ends."""
        passed, seen = [call], {call.index}
        ends: list[Call] = []
        for at in passed:
            for consumer in self.trace.consumers(at):
                if consumer.index not in seen:
                    seen.add(consumer.index)
                    (passed if passes(consumer) else ends).append(consumer)
        return passed, ends

    def descends(self, call: int, source: int) -> bool:
        """Whether the result of `call` is made from the result of `source`."""
        return bool(self._above[call] >> source & 1)

    # Layers.

    def is_layer(self, call: Call) -> bool:
        """Whether a call multiplies by weights: a linear map, a convolution, attention, or a recurrent layer."""
        matrix = call.function in PRODUCTS and any(self._is_matrix(name) for name in call.parameters)
        return matrix or call.function in LAYERS

    def layers_and(self, passes: Passes) -> Passes:
        """The condition of a walk that goes on at layers, and where `passes` says so."""
        return lambda call: passes(call) or self.is_layer(call)

    def _is_matrix(self, name: str) -> bool:
        return name in self.parameters and self.parameters[name].ndim >= 2

    def is_dropout(self, call: Call) -> bool:
        """Whether a call is dropout, by its function or by the module that makes it."""
        if call.function in DROPOUTS:
            return True
        module = self.modules.get(call.module)
        return (
            module is not None
            and not isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention)
            and bool(rate_attributes(module))
        )

    def width(self, layer: Call) -> int:
        """How many units or channels a linear map or a convolution reads in one group; 0 without a matrix parameter."""
        weights = [self.parameters[name] for name in layer.parameters if self._is_matrix(name)]
        return weights[0].shape[1] if weights else 0

    def extent(self, layer: Call) -> int:
        """How many positions a convolution's kernel covers: 9 for 3 x 3, 1 for a pointwise one; 1 for other layers."""
        weight = next((self.parameters[name] for name in layer.parameters if name in self.parameters), None)
        return int(weight[0, 0].numel()) if weight is not None and weight.ndim >= 3 else 1

    def is_depthwise(self, layer: Call) -> bool:
        """Whether a convolution reads each channel on its own: a channel dropped before it stays dropped after it."""
        weights = [self.parameters[name] for name in layer.parameters if self._is_matrix(name)]
        return layer.function in CONVOLUTIONS and any(
            weight.shape[1] == 1 and weight.shape[0] > 1 and self.trace.calls[layer.inputs[0]].shape[1] > 1
            for weight in weights
        )

    def frozen(self, calls: Iterable[Call]) -> bool:
        """Whether the calls have parameters, and all these parameters are frozen (`requires_grad=False`)."""
        own = [self.parameters[name] for call in calls for name in call.parameters if name in self.parameters]
        return bool(own) and not any(parameter.requires_grad for parameter in own)

    def reads(self, layer: Call) -> Read:
        """Walk from what a layer reads back to the layers, embeddings and residual additions that it comes from."""
        found, seen = Read(), set()
        waiting = list(layer.inputs[:1])
        residual = {item.add.index for item in self.residuals}
        while waiting:
            index = waiting.pop(0)
            if index in seen:
                continue
            seen.add(index)
            if index == INPUT:
                found.example = True
                continue
            call = self.trace.calls[index]
            if self.is_layer(call) or index in residual or call.function in {"embedding", *PRODUCTS}:
                found.layers.append(call)
                continue
            found.calls.append(call)
            if self.is_dropout(call):
                found.dropouts.append(call)
            elif call.function in ACTIVATIONS:
                found.activations.append(call)
            waiting += call.inputs
        return found

    def pooled(self, read: Read) -> bool:
        """Whether what a layer reads is a feature map pooled to one number for each channel."""
        return read.has(WHOLE_POOLS)

    def is_last(self, layer: Call) -> bool:
        """Whether no later layer reads what this layer makes, as with the last layer of a classifier."""
        later = self.trace.calls[layer.index + 1 :]
        return not any(self.descends(call.index, layer.index) and self.is_layer(call) for call in later)

    def is_gate(self, layer: Call) -> bool:
        """Whether a layer's result is used only as a factor between 0 and 1, as in squeeze-and-excitation."""
        if layer.index not in self._gates:
            self._gates[layer.index] = False  # ends the recursion, should the graph ever have a cycle
            ends = list(self._ends(layer))
            self._gates[layer.index] = bool(ends) and all(ends)
        return self._gates[layer.index]

    def _ends(self, layer: Call) -> Iterator[bool]:
        waiting, seen = [(call, False) for call in self.trace.consumers(layer)], set()
        if layer.index in self.trace.outputs:
            yield False
        while waiting:
            call, squashed = waiting.pop()
            if (call.index, squashed) in seen:
                continue
            seen.add((call.index, squashed))
            if call.function == "mul" and squashed:
                yield True
            elif self.is_layer(call):
                yield self.is_gate(call)
            elif call.function in PRODUCTS or call.index in self.trace.outputs:
                yield False
            else:
                squashed = squashed or call.function in GATES
                waiting += [(consumer, squashed) for consumer in self.trace.consumers(call)]

    def is_attention_weights(self, call: Call) -> bool:
        """Whether a call is the softmax of attention written by hand, whose result is multiplied with values."""
        if call.function != "softmax":
            return False
        waiting = self.trace.consumers(call)[:]
        while waiting:
            consumer = waiting.pop()
            if consumer.function in PRODUCTS:
                return not consumer.parameters
            if self.is_dropout(consumer) or consumer.function in {"to", "type_as", "reshape", "view", "float", "half"}:
                waiting += self.trace.consumers(consumer)
        return False

    # Residual additions.

    @once
    def residuals(self) -> list[Residual]:
        """The residual additions, in order."""
        found: list[Residual] = []
        taken = 0
        for call in self.trace.calls:
            if call.function != "add" or len(call.inputs) != 2:
                continue
            first, second = call.inputs
            residual = self._residual(call, first, second, taken) or self._residual(call, second, first, taken)
            if residual is not None:
                found.append(residual)
                taken |= 1 << call.index
        return found

    def _residual(self, add: Call, skip: int, branch: int, taken: int) -> Residual | None:
        """The addition as a residual one, with `skip` and `branch` in these roles; None if they can't have them."""
        if branch == INPUT or self.trace.calls[branch].shape != add.shape:
            return None
        beside, unchanged = 0, True
        if skip == INPUT:
            if add.shape not in self._example:
                return None
            calls = [index for index in self._with(branch) if self._from_example(index)]
        elif self.trace.calls[skip].shape != add.shape:
            return None
        elif self.descends(branch, skip):
            calls = [index for index in self._with(branch) if self.descends(index, skip)]
        else:
            common = self._above[skip] & self._above[branch]
            if not common:
                return None
            unchanged = False
            fork = common.bit_length() - 1
            calls = [index for index in self._with(branch) if self.descends(index, fork)]
            beside = self._layers(index for index in self._with(skip) if self.descends(index, fork))
        if beside > 1 or self._layers(calls) <= beside or any(taken >> index & 1 for index in calls):
            return None
        if any(self.trace.calls[index].function in RESIZES for index in calls):
            return None
        return Residual(add, skip, unchanged, branch, frozenset(calls))

    def _with(self, index: int) -> Iterator[int]:
        yield index
        above = self._above[index]
        while above:
            last = above.bit_length() - 1
            yield last
            above ^= 1 << last

    def _from_example(self, index: int) -> bool:
        return any(INPUT in self.trace.calls[other].inputs for other in self._with(index))

    def _layers(self, calls: Iterable[int]) -> int:
        return sum(self.is_layer(self.trace.calls[index]) for index in calls)
