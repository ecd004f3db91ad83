"""Plans dropout on attention weights, and sets p of the model's own dropout in recurrent layers and on embeddings."""

from __future__ import annotations

from itertools import groupby

import torch

from ..edit.anchor import Anchor
from ..known.operations import RECURRENT
from . import starting
from .draft import Draft


class Attention:
    """Adds lines to a draft: for attention, for dropout inside recurrent layers, and for dropout on embeddings."""

    def __init__(self, draft: Draft) -> None:
        self.draft, self.graph, self.anchoring, self.calls = draft, draft.graph, draft.anchoring, draft.calls

    def places(self) -> None:
        """Add a line for each attention of the model that has no dropout and is not frozen."""
        for call in self.draft.attention:
            if self._frozen_around(call.module):
                self.draft.frozen += 1
                continue
            known = self.draft.probe.told.get(call.index)
            module = self.graph.modules.get(call.module)
            if call.function == "softmax":
                own = [consumer for consumer in self.graph.trace.consumers(call) if self.graph.is_dropout(consumer)]
                anchor = None if self.draft.own(own, starting.ATTENTION) else self.anchoring.made(call)
                if anchor is not None:
                    self.draft.add(anchor, call, starting.ATTENTION, call.index)
            elif known is not None:
                self.draft.add(known, call, starting.ATTENTION, call.index)
            elif call.p:
                continue
            elif isinstance(module, torch.nn.MultiheadAttention):
                self.draft.add(Anchor("dropout", call.module), call, starting.ATTENTION, call.index)
            elif (anchor := self.anchoring.call("dropout_p", call)) is not None:
                self.draft.add(anchor, call, starting.ATTENTION, call.index)
            else:
                self.draft.blocked.append(f"{call.function}() in {call.module or 'the model'}")

    def _frozen_around(self, module: str) -> bool:
        """Whether the innermost module that has parameters, counted from `module` outwards, has only frozen ones."""
        while True:
            prefix = f"{module}." if module else ""
            own = [value for name, value in self.graph.parameters.items() if name.startswith(prefix)]
            if own or not module:
                return bool(own) and not any(value.requires_grad for value in own)
            module = module.rpartition(".")[0]

    def recurrent_rates(self) -> None:
        """Add a line for `dropout` of each recurrent layer of torch that has several layers and dropout 0."""
        for call in self.calls:
            module = self.graph.modules.get(call.module)
            inner = isinstance(module, torch.nn.RNNBase) and call.function in RECURRENT and module.num_layers > 1
            if inner and not module.dropout and not self.graph.frozen([call]):  # type: ignore[union-attr]
                self.draft.add(Anchor("dropout", call.module), call, starting.RECURRENT_INNER, call.index)

    def embedding_rates(self) -> None:
        """Add a line for the model's own dropout of p = 0 before the first block of a transformer."""
        if not self.draft.attention:
            return
        inner = self.draft.additions | {call.index for call in self.draft.attention}
        for module, calls in groupby(self.calls, key=lambda call: call.module):
            run = list(calls)  # a dropout may make several calls, one of them a draw without inputs
            own = self.draft.probe.rates.get(module)
            if own is None or own.p or self.draft.has(own.anchor) or not self.graph.is_dropout(run[0]):
                continue
            ahead = any(self.graph.descends(index, call.index) for index in inner for call in run)
            if ahead and not any(self.graph.descends(call.index, index) for index in inner for call in run):
                self.draft.add(own.anchor, run[-1], starting.EMBEDDING, run[-1].index)
