"""Plans dropout at the end of residual branches, before the addition.

It is stochastic depth, or ordinary dropout in a transformer.
"""

from __future__ import annotations

from ...nn.residual import linear_decay
from ..known.operations import ACTIVATIONS, ATTENTION, NORMS
from ..watch.graph import Residual
from ..watch.trace import INPUT, Call
from . import starting
from .draft import Draft
from .starting import Start


class Branches:
    """Adds a line to a draft for each residual branch."""

    def __init__(self, draft: Draft) -> None:
        self.draft, self.graph, self.anchoring, self.calls = draft, draft.graph, draft.anchoring, draft.calls

    def places(self) -> None:
        """Add a line for each residual branch that has no dropout at its end and is not frozen."""
        blocks = [item for item in self.graph.residuals if not self.draft.transforms(item)]
        scheduled = any(
            self.draft.p(call) for item in blocks for call in self._at_end(item) if self.draft.is_path(call)
        )
        decay = linear_decay(starting.last_depth(len(blocks)), len(blocks)) if blocks else []
        starts = {
            item.add.index: starting.depth(p, number, len(blocks))
            for number, (item, p) in enumerate(zip(blocks, decay, strict=True), 1)
        }
        for item in self.graph.residuals:
            start = starts.get(item.add.index, starting.RESIDUAL)
            if self.graph.frozen(self.calls[index] for index in item.calls):
                self.draft.frozen += 1
            elif scheduled and start.variant == "StochasticDepth":
                continue  # the model has its own schedule over depth: a p of 0 in it may be its first value
            elif not self.draft.own(self._of_its_own(item), start):
                inner = [self.calls[index] for index in item.calls]
                thinned = any(self.graph.is_dropout(call) and self.draft.p(call) for call in inner)
                whole = start.variant == "StochasticDepth"
                self._put_branch(item, starting.beside(start) if whole and thinned else start)

    def _of_its_own(self, item: Residual) -> list[Call]:
        """The dropout calls that serve a branch: those at its end; anywhere in the branch of an adapter, as LoRA's.

        An adapter is one linear map beside a layer. Dropout before it, or between its two matrices, does the same work.
        """
        inner = [self.calls[index] for index in item.calls]
        bent = any(call.function in ACTIVATIONS | NORMS | ATTENTION for call in inner)
        if item.unchanged or bent:
            return self._at_end(item)
        return [call for call in inner if self.graph.is_dropout(call)]

    def _at_end(self, item: Residual) -> list[Call]:
        """The dropout calls between a branch's last layer and the addition."""
        found, waiting = [], [item.branch]
        while waiting:
            call = self.calls[waiting.pop()]
            if call.index not in item.calls or self.graph.is_layer(call) or call.function in {"matmul", "bmm"}:
                continue
            if self.graph.is_dropout(call):
                found.append(call)
            waiting += [index for index in call.inputs if index != INPUT]
        return found

    def _put_branch(self, item: Residual, start: Start) -> None:
        """Add the line for one branch, or note that no hook can act there."""
        call = self._end(item)
        anchor = None if call is None else self.anchoring.made(call)
        if call is not None and (anchor is None or anchor.call) and call.function in {"mul", "div"}:
            made = self.graph.trace.producers(call)  # a scaling may as well come after the dropout
            if len(made) == 1 and self.graph.trace.consumers(made[0]) == [call]:
                inner = self.anchoring.made(made[0])
                anchor = inner if inner is not None and not inner.call else anchor
        if call is None or anchor is None:
            self.draft.blocked.append(f"{item.add.function}() in {item.add.module or 'the model'}")
        else:
            self.draft.add(anchor, call, start, call.index)

    def _end(self, item: Residual) -> Call | None:
        """The last call of a branch that the model makes at its present p.

        Calls of a dropout whose p is 0 come after it in the trace, and are passed over. None if a call outside of the
        branch takes the result too.
        """
        call, readers = self.calls[item.branch], {item.add.index}
        while True:
            consumers = {consumer.index for consumer in self.graph.trace.consumers(call)}
            if not consumers <= readers or call.index in self.graph.trace.outputs:
                return None
            if call.module not in self.draft.asleep:
                return call
            readers, waiting, sources = {call.index}, [call], set()
            while waiting:
                for index in waiting.pop().inputs:
                    if index == INPUT or self.calls[index].module != call.module:
                        sources.add(index)
                    elif index not in readers:
                        readers.add(index)
                        waiting.append(self.calls[index])
            if len(sources) != 1 or INPUT in sources:
                return None
            call = self.calls[sources.pop()]
