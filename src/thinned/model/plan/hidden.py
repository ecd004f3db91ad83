"""Plans dropout on the input of layers: hidden units, maps, sequences around recurrent layers, pooled features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..known.operations import ATTENTION, CELLS, CONVOLUTIONS, GATES, RECURRENT
from ..watch.graph import Read
from ..watch.trace import INPUT, Call
from . import starting
from .draft import NARROW, Draft
from .starting import Start

_ACTIVATION = re.compile(r"relu|gelu|silu|swish|mish|elu|tanh|sigmoid|softplus|activation", re.IGNORECASE)
_TURNS = {"transpose", "permute", "swapaxes", "movedim", "T", "mT"}


class Hidden:
    """Adds a line to a draft for each layer whose input should be dropped."""

    def __init__(self, draft: Draft) -> None:
        self.draft, self.graph, self.anchoring, self.calls = draft, draft.graph, draft.anchoring, draft.calls
        self.dropped: set[int] = set()  # calls whose results have a line already
        self.readers: set[int] = set()  # the layers that shall read dropped units

    def places(self) -> None:
        """Add the lines. Layers that read one tensor share a line if it has an anchor."""
        found: dict[int, list[tuple[Call, Read, Start]]] = {}
        for layer in self.calls:
            if not self.graph.is_layer(layer) or layer.inputs[:1] == (INPUT,):
                continue
            if not layer.inputs:
                self._untraced(layer)
                continue
            read = self.graph.reads(layer)
            start = self._start(layer, read)
            if start is None:
                continue
            if self.graph.frozen([layer]):
                self.draft.frozen += 1
            elif not self.draft.own(read.dropouts, start):
                found.setdefault(layer.inputs[0], []).append((layer, read, start))
        self.readers = {layer.index for readers in found.values() for layer, _, _ in readers}
        for source, readers in found.items():
            self._put(self.calls[source], readers)

    def _untraced(self, layer: Call) -> None:
        """Add a line for a layer whose input no function of torch has made, by the module that ran before the layer."""
        ran = [name for name in self.graph.trace.ran if not f"{layer.module}.".startswith(f"{name}.") and name]
        earlier = [name for name in self.graph.trace.ran if name in ran or name == layer.module]
        at = earlier.index(layer.module) if layer.module in earlier else 0
        before = self.graph.modules.get(earlier[at - 1]) if at else None
        width, anchor = self.graph.width(layer), self.anchoring.input(layer)
        plain = layer.function == "linear" or layer.function in CONVOLUTIONS
        if before is None or not _ACTIVATION.search(type(before).__name__) or anchor is None or not plain:
            self.draft.gaps.append(layer.module or "the model")
        elif self.graph.frozen([layer]):
            self.draft.frozen += 1
        elif width >= NARROW:
            behind = f"behind {type(before).__name__}, by the order in which modules run"
            if layer.function in CONVOLUTIONS:
                start = starting.spatial(int(layer.function[-2]), width, behind)
            elif len(layer.shape) > 2:
                start = starting.everywhere(width, behind)
            else:
                start = starting.hidden(width, behind)
            self.draft.add(anchor, replace(layer, shape=()), start, layer.index)

    def _put(self, source: Call, readers: Sequence[tuple[Call, Read, Start]]) -> None:
        """Add one line for all layers that read `source`, so that they share a mask.

        If no anchor names this tensor alone, each layer gets a line for its input.
        """
        if any(call.index in self.dropped for _, read, _ in readers for call in read.calls):
            return
        layers = [layer for layer, _, _ in readers]
        start = readers[0][2]
        shared = None if layers[0].function in RECURRENT else self.anchoring.output(source, self.readers)
        anchors = [anchor for layer in layers if (anchor := self.anchoring.input(layer))]
        if layers[0].function in RECURRENT and len(source.shape) == 2:  # packed: at the call a matrix without time
            anchors = [anchor for anchor in anchors if not anchor.call]
        if shared is not None and (len(readers) > 1 or not shared.call):
            self.dropped.add(source.index)
            self.draft.add(shared, source, start, source.index)
            anchors = [shared]
        elif len(anchors) == len(readers):
            for (layer, _, own), anchor in zip(readers, anchors, strict=True):
                self.draft.add(anchor, source, own, layer.index)
        else:
            self.draft.blocked.append(f"{layers[0].function}() in {layers[0].module or 'the model'}")
            return
        if any(reader.function == "batch_norm" for layer in layers for reader in self.graph.trace.consumers(layer)):
            self.draft.normed.update(anchors)

    def _start(self, layer: Call, read: Read) -> Start | None:
        """The dropout for the input of a layer; None if no rule wants one."""
        source = self.calls[layer.inputs[0]]
        if layer.function in ATTENTION | CELLS or not source.dtype.is_floating_point or self.graph.is_gate(layer):
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
        branch = self.draft.branch.get(layer.index)
        stream = any(call.index in self.draft.additions for call in read.layers)
        stream |= branch is not None and source.index not in branch.calls  # the skip path has this tensor too
        last = self.graph.is_last(layer) and (stream or bool(self.draft.attention))
        ends = rank == 2 and not convolution and (last or self.graph.pooled(read))
        if not ends and (stream or not read.activations or self.graph.is_depthwise(layer)):
            return None
        if convolution and rank != int(layer.function[-2]) + 2:
            self.draft.unbatched.append(layer.module or "the model")
            return None
        if width < NARROW:
            self.draft.narrow += 1
            return None
        if ends:
            if self.draft.attention:
                return starting.TRANSFORMER_HEAD
            return starting.HEAD if self.graph.pooled(read) else starting.LAST
        return self._hidden(layer, read, width)

    def _hidden(self, layer: Call, read: Read, width: int) -> Start | None:
        """The dropout for units or maps after an activation."""
        activation = next((call for call in read.activations if call.function not in GATES), read.activations[0])
        norms = [call for call in read.calls if call.function == "batch_norm"]
        normed = any(self.graph.descends(norm.index, activation.index) for norm in norms)
        behind = f"behind {activation.function}" + (" and its batch normalisation" if normed else "")
        branch = self.draft.branch.get(layer.index)
        convolution = layer.function in CONVOLUTIONS
        if self.draft.attention and not convolution:
            return starting.feed_forward(behind)
        if not convolution and len(self.calls[layer.inputs[0]].shape) > 2 and activation.function != "selu":
            start = starting.everywhere(width, behind)
            return start if branch is None else starting.within_branch(start)
        axes = int(layer.function[-2]) if convolution else 0
        if activation.function == "selu":
            start = starting.selu(bool(axes), behind)
        else:
            start = starting.spatial(axes, width, behind) if axes else starting.hidden(width, behind)
        return start if branch is None or self.draft.transforms(branch) else starting.within_branch(start)

    def _batch_first(self, recurrent: Call) -> bool:
        """Whether the batch is the first axis of a recurrent layer's sequence."""
        return bool(getattr(self.graph.modules.get(recurrent.module), "batch_first", False))
