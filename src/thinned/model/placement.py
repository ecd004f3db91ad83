"""The rules of placement: which lines a plan has, by what flows where.

What is asked of the graph is in `flow.py`, how a place is named so that a hook finds it again in `spot.py`, and how
large p starts, with its reason, in `starting.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..nn.residual import linear_decay
from . import starting
from .anchor import Anchor
from .flow import ATTENTION, CELLS, CONVOLUTIONS, GATES, RECURRENT, Flow, Read, Residual
from .plan import SET, Line, Plan
from .probe import Probe, probe
from .spot import Spot
from .starting import Start
from .trace import INPUT, Call, tensors_of

NARROW = 16  # units; where there are fewer, the others do not make up for one that is lost
_ACTIVATION = re.compile(r"relu|gelu|silu|swish|mish|elu|tanh|sigmoid|softplus|activation", re.IGNORECASE)
_TURNS = {"transpose", "permute", "swapaxes", "movedim", "T", "mT"}


def place(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
    """See `thinned.plan`."""
    found = probe(model, args, kwargs)
    return _Planner(Flow(found.trace, model, tensors_of((args, kwargs))), found).plan(type(model).__name__)


class _Planner:
    def __init__(self, flow: Flow, found: Probe) -> None:
        self.flow, self.probe, self.spot = flow, found, Spot(flow)
        self.calls = flow.trace.calls
        self.lines: dict[Anchor, tuple[int, Line]] = {}  # and when each is reached
        self.hits: dict[Anchor, set[int]] = {}  # the calls at which each takes hold
        self.dropped: set[int] = set()  # calls of whose result a line takes care
        self.readers: set[int] = set()  # the layers that are to read thinned units
        self.frozen, self.narrow = 0, 0
        self.blocked: list[str] = []
        self.unbatched: list[str] = []
        self.gaps: list[str] = []  # layers that read what no function of torch has made
        self.normed: set[Anchor] = set()  # places one layer before batch normalisation
        self.attention = [call for call in self.calls if call.function in ATTENTION or flow.is_attention_weights(call)]
        self.additions = {item.add.index for item in flow.residuals}
        self.branch = {index: item for item in flow.residuals for index in item.calls}

    def plan(self, model: str) -> Plan:
        self._hidden_places()
        self._branch_places()
        self._attention_places()
        self._recurrent_rates()
        self._embedding_rates()
        ordered = [line for _, line in sorted(self.lines.values(), key=lambda item: item[0])]
        lines = [self._settled(line) for line in ordered]
        rising = starting.rising(sum(line.variant in starting.SPATIAL for line in lines))
        lines = [replace(line, p=next(rising)) if line.variant in starting.SPATIAL else line for line in lines]
        return Plan(tuple(lines), tuple(dict.fromkeys(self._there())), tuple(self._notes(lines)), model)

    # On what a layer reads.

    def _hidden_places(self) -> None:
        found: dict[int, list[tuple[Call, Read, Start]]] = {}
        for layer in self.calls:
            if not self.flow.is_layer(layer) or layer.inputs[:1] == (INPUT,):
                continue
            if not layer.inputs:
                self._untraced(layer)
                continue
            read = self.flow.reads(layer)
            start = self._start(layer, read)
            if start is None:
                continue
            if self.flow.frozen([layer]):
                self.frozen += 1
            elif not self._own(read.dropouts, start):
                found.setdefault(layer.inputs[0], []).append((layer, read, start))
        self.readers = {layer.index for readers in found.values() for layer, _, _ in readers}
        for source, readers in found.items():
            self._put(self.calls[source], readers)

    def _untraced(self, layer: Call) -> None:
        """A layer that reads what no function of torch has made: the module that ran before it has to tell."""
        ran = [name for name in self.flow.trace.ran if not f"{layer.module}.".startswith(f"{name}.") and name]
        earlier = [name for name in self.flow.trace.ran if name in ran or name == layer.module]
        at = earlier.index(layer.module) if layer.module in earlier else 0
        before = self.flow.modules.get(earlier[at - 1]) if at else None
        width, anchor = self.flow.width(layer), self.spot.input(layer)
        plain = layer.function == "linear" or layer.function in CONVOLUTIONS
        if before is None or not _ACTIVATION.search(type(before).__name__) or anchor is None or not plain:
            self.gaps.append(layer.module or "the model")
        elif self.flow.frozen([layer]):
            self.frozen += 1
        elif width >= NARROW:
            behind = f"behind {type(before).__name__}, by the order in which modules run"
            if layer.function in CONVOLUTIONS:
                start = starting.spatial(int(layer.function[-2]), width, behind)
            elif len(layer.shape) > 2:
                start = starting.everywhere(width, behind)
            else:
                start = starting.hidden(width, behind)
            self._add(anchor, replace(layer, shape=()), start, layer.index)

    def _put(self, source: Call, readers: Sequence[tuple[Call, Read, Start]]) -> None:
        """One place for all layers that read one tensor: they are to read one thinned network, not several."""
        if any(call.index in self.dropped for _, read, _ in readers for call in read.calls):
            return
        layers = [layer for layer, _, _ in readers]
        start = readers[0][2]
        shared = None if layers[0].function in RECURRENT else self.spot.output(source, self.readers)
        anchors = [anchor for layer in layers if (anchor := self.spot.input(layer))]
        if layers[0].function in RECURRENT and len(source.shape) == 2:  # a packed sequence, at a call mere rows
            anchors = [anchor for anchor in anchors if not anchor.call]
        if shared is not None and (len(readers) > 1 or not shared.call):
            self.dropped.add(source.index)
            self._add(shared, source, start, source.index)
            anchors = [shared]
        elif len(anchors) == len(readers):
            for (layer, _, own), anchor in zip(readers, anchors, strict=True):
                self._add(anchor, source, own, layer.index)
        else:
            self.blocked.append(f"{layers[0].function}() in {layers[0].module or 'the model'}")
            return
        if any(reader.function == "batch_norm" for layer in layers for reader in self.flow.trace.consumers(layer)):
            self.normed.update(anchors)

    def _start(self, layer: Call, read: Read) -> Start | None:
        """What to put on what a layer reads; None where nothing belongs there."""
        source = self.calls[layer.inputs[0]]
        if layer.function in ATTENTION | CELLS or not source.dtype.is_floating_point or self.flow.is_gate(layer):
            return None
        if any(call.function in CELLS for call in read.layers) or not read.layers:
            return None
        recurrent = next((call for call in read.layers if call.function in RECURRENT), None)
        if layer.function in RECURRENT:
            return starting.locked(self._batch_first(layer), "into a recurrent layer")
        rank = len(source.shape)
        if recurrent is not None:
            first = self._batch_first(recurrent) != read.has(_TURNS)
            return starting.locked(first, "out of a recurrent layer") if rank == 3 else starting.LAST_STATE
        convolution = layer.function in CONVOLUTIONS
        width = source.shape[1] if convolution and rank > 1 else source.shape[-1]
        branch = self.branch.get(layer.index)
        stream = any(call.index in self.additions for call in read.layers)
        stream |= branch is not None and source.index not in branch.calls  # it goes by the branch as well
        last = self.flow.is_last(layer) and (stream or bool(self.attention))
        ends = rank == 2 and not convolution and (last or self.flow.pooled(read))
        if not ends and (stream or not read.activations or self.flow.is_depthwise(layer)):
            return None
        if convolution and rank != int(layer.function[-2]) + 2:
            self.unbatched.append(layer.module or "the model")
            return None
        if width < NARROW:
            self.narrow += 1
            return None
        if ends:
            if self.attention:
                return starting.TRANSFORMER_HEAD
            return starting.HEAD if self.flow.pooled(read) else starting.LAST
        return self._hidden(layer, read, width)

    def _hidden(self, layer: Call, read: Read, width: int) -> Start | None:
        """Units or maps behind an activation."""
        activation = next((call for call in read.activations if call.function not in GATES), read.activations[0])
        norms = [call for call in read.calls if call.function == "batch_norm"]
        normed = any(self.flow.descends(norm.index, activation.index) for norm in norms)
        behind = f"behind {activation.function}" + (" and its batch normalisation" if normed else "")
        branch = self.branch.get(layer.index)
        convolution = layer.function in CONVOLUTIONS
        if self.attention and not convolution:
            return starting.feed_forward(behind)
        if not convolution and len(self.calls[layer.inputs[0]].shape) > 2 and activation.function != "selu":
            start = starting.everywhere(width, behind)
            return start if branch is None else starting.within_branch(start)
        axes = int(layer.function[-2]) if convolution else 0
        if activation.function == "selu":
            start = starting.selu(bool(axes), behind)
        else:
            start = starting.spatial(axes, width, behind) if axes else starting.hidden(width, behind)
        return start if branch is None or self._transforms(branch) else starting.within_branch(start)

    def _batch_first(self, recurrent: Call) -> bool:
        return bool(getattr(self.flow.modules.get(recurrent.module), "batch_first", False))

    # On residual branches.

    def _transforms(self, residual: Residual) -> bool:
        """Whether it is a transformer's: there is attention, and the branch does not convolve."""
        functions = {self.calls[index].function for index in residual.calls}
        return bool(self.attention) and functions.isdisjoint(CONVOLUTIONS)

    def _branch_places(self) -> None:
        blocks = [item for item in self.flow.residuals if not self._transforms(item)]
        scheduled = any(self._p(call) for item in blocks for call in self._at_end(item) if self._is_path(call))
        decay = linear_decay(starting.last_depth(len(blocks)), len(blocks)) if blocks else []
        starts = {
            item.add.index: starting.depth(p, number, len(blocks))
            for number, (item, p) in enumerate(zip(blocks, decay, strict=True), 1)
        }
        for item in self.flow.residuals:
            start = starts.get(item.add.index, starting.RESIDUAL)
            if self.flow.frozen(self.calls[index] for index in item.calls):
                self.frozen += 1
            elif scheduled and start.variant == "StochasticDepth":
                continue  # the model has a schedule of its own, in which the first p may be 0
            elif not self._own(self._at_end(item), start):
                inner = [self.calls[index] for index in item.calls]
                thinned = any(self.flow.is_dropout(call) and self._p(call) for call in inner)
                whole = start.variant == "StochasticDepth"
                self._put_branch(item, starting.beside(start) if whole and thinned else start)

    def _at_end(self, item: Residual) -> list[Call]:
        """The dropout calls between a branch's last layer and the addition."""
        found, waiting = [], [item.branch]
        while waiting:
            call = self.calls[waiting.pop()]
            if call.index not in item.calls or self.flow.is_layer(call) or call.function in {"matmul", "bmm"}:
                continue
            if self.flow.is_dropout(call):
                found.append(call)
            waiting += [index for index in call.inputs if index != INPUT]
        return found

    def _put_branch(self, item: Residual, start: Start) -> None:
        call = self.calls[item.branch]
        anchor = self.spot.made(call)
        if (anchor is None or anchor.call) and call.function in {"mul", "div"}:  # a scale is as well behind the dropout
            made = self.flow.trace.producers(call)
            if len(made) == 1 and self.flow.trace.consumers(made[0]) == [call]:
                inner = self.spot.made(made[0])
                anchor = inner if inner is not None and not inner.call else anchor
        if anchor is None or self.flow.trace.consumers(call) != [item.add] or call.index in self.flow.trace.outputs:
            self.blocked.append(f"{item.add.function}() in {item.add.module or 'the model'}")
        else:
            self._add(anchor, call, start, call.index)

    # On attention weights.

    def _attention_places(self) -> None:
        for call in self.attention:
            if self._frozen_around(call.module):
                self.frozen += 1
                continue
            known = self.probe.told.get(call.index)
            module = self.flow.modules.get(call.module)
            if call.function == "softmax":
                own = [consumer for consumer in self.flow.trace.consumers(call) if self.flow.is_dropout(consumer)]
                anchor = None if self._own(own, starting.ATTENTION) else self.spot.made(call)
                if anchor is not None:
                    self._add(anchor, call, starting.ATTENTION, call.index)
            elif known is not None:
                self._add(known, call, starting.ATTENTION, call.index)
            elif call.p:
                continue
            elif isinstance(module, torch.nn.MultiheadAttention):
                self._add(Anchor("dropout", call.module), call, starting.ATTENTION, call.index)
            elif (anchor := self.spot.call("dropout_p", call)) is not None:
                self._add(anchor, call, starting.ATTENTION, call.index)
            else:
                self.blocked.append(f"{call.function}() in {call.module or 'the model'}")

    def _frozen_around(self, module: str) -> bool:
        """Whether the innermost module with parameters around a call has none that is trained."""
        while True:
            prefix = f"{module}." if module else ""
            own = [value for name, value in self.flow.parameters.items() if name.startswith(prefix)]
            if own or not module:
                return bool(own) and not any(value.requires_grad for value in own)
            module = module.rpartition(".")[0]

    # A p of the model's own.

    def _own(self, dropouts: Sequence[Call], start: Start) -> bool:
        """Use the model's own dropout, if there is some: set a p that is 0, leave one that is not."""
        if any(self._p(call) for call in dropouts):
            return True
        if start.variant == "LockedDropout":  # the model's own draws afresh at each step
            return False
        modules = {call.module for call in dropouts if call.module in self.probe.rates}
        whole = start.variant == "StochasticDepth"
        fitting = [call for call in dropouts if call.module in modules and self._is_path(call) == whole]
        for call in fitting:
            if call.module == fitting[0].module:
                self._add(self.probe.rates[call.module].anchor, call, start, call.index)
        return bool(fitting)

    def _is_path(self, call: Call) -> bool:
        """Whether a dropout call leaves whole branches out, by the name that all libraries' classes share."""
        name = type(self.flow.modules.get(call.module)).__name__.lower()
        return "path" in name or "depth" in name or call.function == "stochastic_depth"

    def _p(self, call: Call) -> float:
        """A dropout call's p as the model has it."""
        own = self.probe.rates.get(call.module)
        return own.p if own is not None else call.p or float(bool(call.draws))

    def _recurrent_rates(self) -> None:
        for call in self.calls:
            module = self.flow.modules.get(call.module)
            inner = isinstance(module, torch.nn.RNNBase) and call.function in RECURRENT and module.num_layers > 1
            if inner and not module.dropout and not self.flow.frozen([call]):  # type: ignore[union-attr]
                self._add(Anchor("dropout", call.module), call, starting.RECURRENT_INNER, call.index)

    def _embedding_rates(self) -> None:
        """A transformer's own dropout before its first block."""
        if not self.attention:
            return
        inner = self.additions | {call.index for call in self.attention}
        for call in self.calls:
            own = self.probe.rates.get(call.module)
            if own is None or own.p or own.anchor in self.lines or not self.flow.is_dropout(call):
                continue
            ahead = any(self.flow.descends(index, call.index) for index in inner)
            if ahead and not any(self.flow.descends(call.index, index) for index in inner):
                self._add(own.anchor, call, starting.EMBEDDING, call.index)

    # Lines, and what is said beside them.

    def _add(self, anchor: Anchor, source: Call, start: Start, hit: int) -> None:
        self.hits.setdefault(anchor, set()).add(hit)
        if anchor not in self.lines:
            variant = SET if anchor.is_rate else start.variant
            line = Line(
                where=str(anchor),
                variant=variant,
                p=start.p,
                shape=source.shape,
                reason=start.reason,
                source=start.source,
                enabled=start.enabled,
                batch_first=start.batch_first and variant == "LockedDropout",
            )
            self.lines[anchor] = (hit, line)

    def _settled(self, line: Line) -> Line:
        """The line, off if its module runs in other places too, where nothing belongs."""
        anchor = line.anchor
        ran = self.flow.trace.ran.get(anchor.module, 0)
        if len(self.hits[anchor]) < ran and line.enabled:
            return replace(
                line,
                enabled=False,
                reason=line.reason.rstrip(".") + "; off, because the module runs in other places too.",
            )
        return line

    def _there(self) -> Iterator[str]:
        for call in self.calls:
            module = self.flow.modules.get(call.module)
            own = self.probe.rates.get(call.module)
            if own is not None:
                if own.p and self.flow.is_dropout(call):
                    yield f"{call.module or 'the model'}: {type(module).__name__}, p = {own.p:g}"
            elif isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention):
                if call.p:
                    yield f"{call.module or 'the model'}: {type(module).__name__}, dropout = {call.p:g}"
            elif call.p and call.training and call.index not in self.probe.told:
                yield f"{call.function}() in {call.module or 'the model'}, p = {call.p:g}"

    def _notes(self, lines: Sequence[Line]) -> Iterator[str]:
        if any(line.enabled for line in lines):
            yield starting.LEARNING_RATE
        normed = sum(line.enabled and line.anchor in self.normed for line in lines)
        if normed:
            yield (
                f"{_many(normed, 'place')} with batch normalisation behind the next layer, whose running variance will "
                "be that of training: thinned.check measures by how much, thinned.recalibrate_batchnorm makes it new."
            )
        if self.frozen:
            yield f"{_many(self.frozen, 'place')} in frozen parts left out: nothing is trained there."
        if self.narrow:
            yield f"{_many(self.narrow, 'layer')} left out that read fewer than {NARROW} units."
        cells = dict.fromkeys(call.module or "the model" for call in self.calls if call.function in CELLS)
        if cells:
            yield (
                f"Cells that a loop steps through ({', '.join(cells)}) would draw afresh at each step: nothing was put "
                "on them. thinned.nn.LSTM, GRU and RNN hold one mask."
            )
        if self.gaps:
            yield (
                f"What {', '.join(dict.fromkeys(self.gaps))} reads was made outside of torch's functions: no rule "
                "speaks there. Add lines by hand."
            )
        if self.unbatched:
            yield (
                f"The convolutions of {', '.join(dict.fromkeys(self.unbatched))} read an example without a batch axis: "
                "nothing was put before them. Plan with a batch."
            )
        for name in dict.fromkeys(self.blocked):
            yield f"No hook can tell the place at {name} from another: nothing was put there."


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")
