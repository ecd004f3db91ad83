"""Finds an anchor for a place in the graph of calls: the text by which a hook finds this place again.

The anchor is the input or the output of a module if this is exactly the tensor wanted. Otherwise it is a call of a
function of torch in a module.
"""

from __future__ import annotations

from collections.abc import Collection, Set

import torch

from ..edit.anchor import Anchor
from ..watch.graph import Graph
from ..watch.trace import INPUT, Call

_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


class Anchoring:
    """Makes anchors for one traced model.

    Example: in `Sequential(Linear, ReLU, Linear)`, the result of `relu` has the anchor "output of 1". If the model
    calls `F.relu` in its own forward, the anchor is "output of relu() in the model". A method returns None if no
    anchor would name this tensor and no other.
    """

    def __init__(self, graph: Graph, asleep: Collection[str] = ()) -> None:
        self.graph, self.trace = graph, graph.trace
        self.asleep = asleep  # dropouts of p = 0: their calls are in the trace, but the model does not make them

    def input(self, layer: Call) -> Anchor | None:
        """The anchor of the tensor that a layer reads."""
        name = layer.module
        module = self.graph.modules.get(name)
        if module is None or name in self.trace.loose or module._modules or self._ran(name) != 1:
            return self._read(layer)
        # The hook changes the module's first tensor. In torch's layers this is the tensor that the layer reads. In
        # other modules it is known only if no other tensor enters the module.
        first = type(module).__module__.startswith("torch.nn.modules") or self._entries(name) == {layer.inputs[0]}
        return Anchor("input", name) if first else self._read(layer)

    def _read(self, layer: Call) -> Anchor | None:
        """The anchor at the layer's call, or at the call that made the tensor.

        The second is used if a bias or weights are the first tensor of the layer's call: an anchor at a call names the
        first tensor only.
        """
        if not layer.inputs or layer.first == layer.inputs[0]:
            return self.call("input", layer)
        source = layer.inputs[0]
        alone = source != INPUT and self.trace.consumers(source) == [layer] and source not in self.trace.outputs
        return self.made(self.trace.calls[source]) if alone else None

    def output(self, call: Call, readers: Set[int]) -> Anchor | None:
        """The anchor of a call's result, if only `readers` take it, directly or after pooling; else None."""
        return self.made(call) if self._goes_to(call, readers) else None

    def _goes_to(self, call: Call, readers: Set[int]) -> bool:
        """Whether no calls but `readers` take a call's result, directly or after pooling."""
        consumers = self.trace.consumers(call)
        return (
            bool(consumers)
            and call.index not in self.trace.outputs
            and all(
                consumer.index in readers or ("pool" in consumer.function and self._goes_to(consumer, readers))
                for consumer in consumers
            )
        )

    def made(self, call: Call) -> Anchor | None:
        """The anchor of a call's result: a dropout there acts for every call that takes the result."""
        if self._is_module_output(call):
            return Anchor("output", call.module)
        return None if call.writes else self.call("output", call)

    def call(self, what: str, call: Call) -> Anchor | None:
        """The anchor of a call: its function, the module that makes it, and its number in one run of this module.

        `what` is "input", "output" or the name of an argument.
        """
        name = self.trace.inside.get(call.module, call.module)
        inside = [other for other in self.trace.calls if _within(other.module, name)]
        same = [other for other in inside if other.function == call.function]
        each, rest = divmod(len(same), self._ran(name))
        if rest:  # the runs of the module make different calls, so a number is not unique
            return None
        run, before = divmod([other.index for other in same].index(call.index), each)
        if any(other.module in self.asleep for other in same[run * each : run * each + before + 1]):
            return None  # at p = 0 this call is not made, or has another number
        return Anchor(what, name, call.function, before + 1)

    def _ran(self, name: str) -> int:
        """How often a module ran in the forward pass."""
        return self.trace.ran.get(name, 1)

    def _is_module_output(self, call: Call) -> bool:
        """Whether a call's result is the output of its module, and no other tensor leaves the module.

        The module must run once, and must not use the result itself.
        """
        name = call.module
        module = self.graph.modules.get(name)
        if (
            module is None
            or not name
            or name in self.trace.loose
            or isinstance(module, _CONTAINERS)
            or self._ran(name) != 1
        ):
            return False
        if self.trace.firsts.get(name) != call.index:  # a hook on the output would drop another tensor
            return False
        leaving = {
            other.index
            for other in self.trace.calls
            if _within(other.module, name)
            and (
                other.index in self.trace.outputs
                or any(not _within(consumer.module, name) for consumer in self.trace.consumers(other))
            )
        }
        inside = any(_within(consumer.module, name) for consumer in self.trace.consumers(call))
        return leaving == {call.index} and not inside

    def _entries(self, name: str) -> set[int]:
        """The calls outside of a module whose results enter it; INPUT if an input of the model does."""
        return {
            source
            for call in self.trace.calls
            if _within(call.module, name)
            for source in call.inputs
            if source == INPUT or not _within(self.trace.calls[source].module, name)
        }


def _within(module: str, name: str) -> bool:
    """Whether a module is the one called `name`, or is inside it."""
    return not name or module == name or module.startswith((f"{name}.", f"{name}<"))
