"""The class `Examination`: all that the function `live` of a rule can ask about one model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.nn import Module, RNNBase

from ....nn.names import named_modules
from ....once import once
from ...inspect.inspection import Inspection
from ...watch.graph import Graph
from ...watch.recorder import tensors_of
from ...watch.trace import Trace


@dataclass(frozen=True)
class Examination:
    """A model, an example of its inputs, and the result of `thinned.inspect` for them.

    Example: for `check(net, x)`, `model` is `net`, `example` is `(x,)`, and `inspection` is `inspect(net, x)`. A rule
    then goes over `inspection.places`, or over the calls of a trace in `passes`.
    """

    model: Module
    inspection: Inspection  # `.places`; the traces `.passes` in training mode and `.eval` in eval mode
    example: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)  # the example's keyword arguments
    training: bool = True  # whether the model was in training mode before the check
    modules: dict[str, Module] = field(init=False)  # by name, as in places and calls; "" is the model itself

    _graphs: dict[Trace, Graph] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", dict(named_modules(self.model)))

    @once
    def passes(self) -> list[Trace]:
        """The traces in training mode that are needed to see every draw; a trace with more modules comes first.

        It is one trace, unless layers are skipped at random.
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
        """The graph of one of the traces. It is made at the first call."""
        if trace not in self._graphs:
            self._graphs[trace] = Graph(trace, self.model, tensors_of((self.example, self.keywords)))
        return self._graphs[trace]

    @property
    def repeats(self) -> int:
        """How often a rule must run the model to see all layers: once, unless layers are skipped at random."""
        first, *others = (trace.ran.keys() for trace in self.inspection.passes)
        return len(self.inspection.passes) if any(ran != first for ran in others) else 1

    @property
    def recurrent(self) -> Iterator[tuple[str, RNNBase]]:
        """The names and modules of all LSTM, GRU and RNN, except thinned's own."""
        for name, module in self.modules.items():
            if isinstance(module, RNNBase) and not type(module).__module__.startswith("thinned."):
                yield name, module
