"""Places on attention weights, and two more where the model has a p of its own: recurrent layers, embeddings."""

from __future__ import annotations

from itertools import groupby

import torch

from ..edit.anchor import Anchor
from ..known.operations import RECURRENT
from . import starting
from .draft import Draft


class Attention:
    """Goes over the attention of a model."""

    def __init__(self, draft: Draft) -> None:
        self.draft, self.graph, self.anchoring, self.calls = draft, draft.graph, draft.anchoring, draft.calls

    def places(self) -> None:
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
        """Whether the innermost module with parameters around a call has none that is trained."""
        while True:
            prefix = f"{module}." if module else ""
            own = [value for name, value in self.graph.parameters.items() if name.startswith(prefix)]
            if own or not module:
                return bool(own) and not any(value.requires_grad for value in own)
            module = module.rpartition(".")[0]

    def recurrent_rates(self) -> None:
        for call in self.calls:
            module = self.graph.modules.get(call.module)
            inner = isinstance(module, torch.nn.RNNBase) and call.function in RECURRENT and module.num_layers > 1
            if inner and not module.dropout and not self.graph.frozen([call]):  # type: ignore[union-attr]
                self.draft.add(Anchor("dropout", call.module), call, starting.RECURRENT_INNER, call.index)

    def embedding_rates(self) -> None:
        """A transformer's own dropout before its first block."""
        if not self.draft.attention:
            return
        inner = self.draft.additions | {call.index for call in self.draft.attention}
        for module, calls in groupby(self.calls, key=lambda call: call.module):
            run = list(calls)  # all that the dropout does, the numbers included that it draws from nothing
            own = self.draft.probe.rates.get(module)
            if own is None or own.p or self.draft.has(own.anchor) or not self.graph.is_dropout(run[0]):
                continue
            ahead = any(self.graph.descends(index, call.index) for index in inner for call in run)
            if ahead and not any(self.graph.descends(call.index, index) for index in inner for call in run):
                self.draft.add(own.anchor, run[-1], starting.EMBEDDING, run[-1].index)
