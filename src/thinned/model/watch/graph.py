"""What the calls of a forward pass are to one another: layers and what they read, residual additions, gates.

Plans, rules and pruning ask here, so that they agree about one model. The answers come from the graph of calls alone,
whatever the modules are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch

from ...nn.names import named_modules
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
from .trace import INPUT, Call, Trace

Module = torch.nn.Module
Passes = Callable[[Call], bool]


def through(*functions: Iterable[str]) -> Passes:
    """For a walk: whether it goes on at a call of one of these functions."""
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
    """An addition of a tensor and something that layers made from it."""

    add: Call
    skip: int  # the call that made what goes by; INPUT for the example
    unchanged: bool  # whether what goes by is what the branch reads, with no projection or normalisation on the way
    branch: int  # the call that made what is added
    calls: frozenset[int]  # the branch's calls


class Graph:
    """The calls of a trace, and what they are to one another."""

    def __init__(self, trace: Trace, model: Module, example: Iterable[torch.Tensor]) -> None:
        self.trace = trace
        self.modules = {**dict(named_modules(model)), **trace.loose}
        self.parameters = {
            f"{name}.{key}" if name else key: parameter
            for name, module in named_modules(model)
            for key, parameter in module._parameters.items()
            if parameter is not None
        }
        self._example = {tuple(tensor.shape) for tensor in example}
        self._above: list[int] = []  # every call's ancestors, as bits
        for call in trace.calls:
            above = 0
            for index in call.inputs:
                if index != INPUT:
                    above |= self._above[index] | 1 << index
            self._above.append(above)
        self._gates: dict[int, bool] = {}

    # Walks.

    def before(self, sources: Iterable[int], passes: Passes) -> list[int]:
        """Walk back from calls through those that pass: the calls where the walk ends, INPUT for the example."""
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
        """Walk on from a call through those that pass: the calls passed, itself first, and those where it ends."""
        passed, seen = [call], {call.index}
        ends: list[Call] = []
        for at in passed:
            for consumer in self.trace.consumers(at):
                if consumer.index not in seen:
                    seen.add(consumer.index)
                    (passed if passes(consumer) else ends).append(consumer)
        return passed, ends

    def descends(self, call: int, source: int) -> bool:
        """Whether a call's result is made from another call's."""
        return bool(self._above[call] >> source & 1)

    # Layers.

    def is_layer(self, call: Call) -> bool:
        """Whether a call multiplies by weights: a linear map, a convolution, attention, or a recurrent layer."""
        matrix = call.function in PRODUCTS and any(self._is_matrix(name) for name in call.parameters)
        return matrix or call.function in LAYERS

    def layers_and(self, passes: Passes) -> Passes:
        """For a walk: whether it goes on at a layer, or at what `passes` lets by."""
        return lambda call: passes(call) or self.is_layer(call)

    def _is_matrix(self, name: str) -> bool:
        return name in self.parameters and self.parameters[name].ndim >= 2

    def is_dropout(self, call: Call) -> bool:
        """Whether a call is a dropout's, by its function or by the module that makes it."""
        if call.function in DROPOUTS:
            return True
        module = self.modules.get(call.module)
        return (
            module is not None
            and not isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention)
            and bool(rate_attributes(module))
        )

    def width(self, layer: Call) -> int:
        """How many units or channels a linear map or a convolution reads in one group; 0 where its weights are made."""
        weights = [self.parameters[name] for name in layer.parameters if self._is_matrix(name)]
        return weights[0].shape[1] if weights else 0

    def extent(self, layer: Call) -> int:
        """Over how many positions a convolution reaches: 1 for a pointwise one."""
        weight = next((self.parameters[name] for name in layer.parameters if name in self.parameters), None)
        return int(weight[0, 0].numel()) if weight is not None and weight.ndim >= 3 else 1

    def is_depthwise(self, layer: Call) -> bool:
        """Whether a convolution reads each channel on its own: what drops before it is dropped behind it, too."""
        weights = [self.parameters[name] for name in layer.parameters if self._is_matrix(name)]
        return layer.function in CONVOLUTIONS and any(
            weight.shape[1] == 1 and weight.shape[0] > 1 and self.trace.calls[layer.inputs[0]].shape[1] > 1
            for weight in weights
        )

    def frozen(self, calls: Iterable[Call]) -> bool:
        """Whether the calls have parameters and none of them is trained."""
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
        """Whether a whole map has been averaged to one number a channel."""
        return read.has(WHOLE_POOLS)

    def is_last(self, layer: Call) -> bool:
        """Whether no layer reads what this one makes, as with a classifier's last."""
        later = self.trace.calls[layer.index + 1 :]
        return not any(self.descends(call.index, layer.index) and self.is_layer(call) for call in later)

    def is_gate(self, layer: Call) -> bool:
        """Whether all that a layer makes ends as a factor between 0 and 1, as in squeeze-and-excitation."""
        if layer.index not in self._gates:
            self._gates[layer.index] = False  # for a loop, which a graph has not
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
        """Whether a softmax's result is multiplied with values: attention written by hand."""
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

    @cached_property
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
        """The addition as residual, if `skip` is what goes by and `branch` what the layers made; else None."""
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
