"""How a place in the graph is named so that a hook finds it.

By a module's input or output where that is the same tensor, else by the call of the function.
"""

from __future__ import annotations

from collections.abc import Collection, Set

import torch

from ..edit.anchor import Anchor
from ..watch.graph import Graph
from ..watch.trace import INPUT, Call

_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


class Anchoring:
    """Names for places of one traced model."""

    def __init__(self, graph: Graph, asleep: Collection[str] = ()) -> None:
        self.graph, self.trace = graph, graph.trace
        self.asleep = asleep  # modules that make their calls in the trace, and none as the model is set

    def input(self, layer: Call) -> Anchor | None:
        """What a layer reads; None where no hook could tell it from another."""
        name = layer.module
        module = self.graph.modules.get(name)
        if module is None or "<" in name or module._modules or self._ran(name) != 1:
            return self._read(layer)
        # torch's layers take what they read first; of others that is known if it is all that they take.
        first = type(module).__module__.startswith("torch.nn.modules") or self._entries(name) == {layer.inputs[0]}
        return Anchor("input", name) if first else self._read(layer)

    def _read(self, layer: Call) -> Anchor | None:
        """What a layer reads, at its call; where that has a bias or weights before it, where it was made."""
        if not layer.inputs or layer.first == layer.inputs[0]:
            return self.call("input", layer)
        source = layer.inputs[0]
        alone = source != INPUT and self.trace.consumers(source) == [layer] and source not in self.trace.outputs
        return self.made(self.trace.calls[source]) if alone else None

    def output(self, call: Call, readers: Set[int]) -> Anchor | None:
        """What a call makes, where it goes to such readers alone, through pooling perhaps; else None."""
        return self.made(call) if self._goes_to(call, readers) else None

    def _goes_to(self, call: Call, readers: Set[int]) -> bool:
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
        """What a call makes, for everybody who takes it."""
        if self._is_module_output(call):
            return Anchor("output", call.module)
        return None if call.writes else self.call("output", call)

    def call(self, what: str, call: Call) -> Anchor | None:
        """A call by its function and its number while the module that makes it runs."""
        name = call.module.partition("<")[0].rstrip(".")
        inside = [other for other in self.trace.calls if _within(other.module, name)]
        same = [other for other in inside if other.function == call.function]
        each, rest = divmod(len(same), self._ran(name))
        if rest:  # not every run makes the same calls
            return None
        run, before = divmod([other.index for other in same].index(call.index), each)
        if any(other.module in self.asleep for other in same[run * each : run * each + before + 1]):
            return None  # as the model is set the call is not made, or has another number
        return Anchor(what, name, call.function, before + 1)

    def _ran(self, name: str) -> int:
        return self.trace.ran.get(name, 1)

    def _is_module_output(self, call: Call) -> bool:
        """Whether what a call makes is what its module returns, once a forward pass, and all of it that is used."""
        name = call.module
        module = self.graph.modules.get(name)
        if module is None or not name or "<" in name or isinstance(module, _CONTAINERS) or self._ran(name) != 1:
            return False
        if self.trace.firsts.get(name) != call.index:  # a hook would thin another tensor
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
        """The calls outside of a module, or INPUT, whose tensors it takes."""
        return {
            source
            for call in self.trace.calls
            if _within(call.module, name)
            for source in call.inputs
            if source == INPUT or not _within(self.trace.calls[source].module, name)
        }


def _within(module: str, name: str) -> bool:
    return not name or module == name or module.startswith((f"{name}.", f"{name}<"))
