"""A live model under examination: what the live half of a rule sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch.nn import Module, RNNBase

from ....nn.names import named_modules
from ...inspect.inspection import Inspection
from ...watch.graph import Graph
from ...watch.recorder import tensors_of
from ...watch.trace import Trace


@dataclass(frozen=True)
class Examination:
    """A model, its example, and what `thinned.inspect` saw when it ran the one on the other."""

    model: Module
    inspection: Inspection  # .places, and the Traces .passes, in training mode, and .eval
    example: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)  # the example's keyword arguments
    modules: dict[str, Module] = field(init=False)  # by the names that places and calls have; "" is the model itself

    _graphs: dict[Trace, Graph] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", dict(named_modules(self.model)))

    @cached_property
    def passes(self) -> list[Trace]:
        """The passes in training mode that together show every draw, those in which more modules ran first.

        One, but where chance leaves layers out.
        """
        found: list[Trace] = []
        seen: set[tuple[str, str, str, int]] = set()
        for trace in sorted(self.inspection.passes, key=lambda trace: -len(trace.ran)):
            drawn = {(call.module, call.function, call.file, call.line) for call in trace.calls if call.draws}
            if not found or drawn - seen:
                found.append(trace)
                seen |= drawn
        return found

    def graph(self, trace: Trace) -> Graph:
        """The graph of one of the passes, or of that in evaluation."""
        if trace not in self._graphs:
            self._graphs[trace] = Graph(trace, self.model, tensors_of((self.example, self.keywords)))
        return self._graphs[trace]

    @property
    def repeats(self) -> int:
        """How often a rule must run the model to see what chance leaves out: once where it leaves nothing out."""
        first, *others = (trace.ran.keys() for trace in self.inspection.passes)
        return len(self.inspection.passes) if any(ran != first for ran in others) else 1

    @property
    def recurrent(self) -> Iterator[tuple[str, RNNBase]]:
        """The LSTM, GRU and RNN modules by their names, thinned's own left out."""
        for name, module in self.modules.items():
            if isinstance(module, RNNBase) and not type(module).__module__.startswith("thinned."):
                yield name, module
