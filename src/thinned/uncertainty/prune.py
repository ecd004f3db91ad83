"""Cuts dropped units out of a network, where dropout stands between two layers: out of both layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._torch import BatchNorm
from ..model.inspect.inspection import Inspection
from ..model.inspect.place import Place
from ..model.known.operations import POOLS, UNITWISE, ZERO_AT_ZERO
from ..model.watch.trace import INPUT, Call, Trace

Module = torch.nn.Module

_LAYERS = {"linear": torch.nn.Linear, "conv1d": torch.nn.Conv1d, "conv2d": torch.nn.Conv2d, "conv3d": torch.nn.Conv3d}


@dataclass(frozen=True)
class Pruning:
    """A dropout between two layers, from both of which its dropped units can be cut.

    In `Sequential(Linear(4, 64), ReLU(), Dropout(0.5), Linear(64, 2))` it is `Pruning("2", "0", (), "3", 1)`.
    """

    place: str  # the name of the dropout's place
    before: str  # the name of the layer before the dropout
    norms: tuple[str, ...]  # the names of the batch normalisations between this layer and the dropout
    after: str  # the name of the layer after the dropout
    each: int  # how many inputs of this layer belong to one unit: more than 1 where a map is flattened

    def cut(self, network: Module, kept: Tensor, factor: float) -> None:
        """Cut out the units where `kept` is False, and multiply the weights that read the others by `factor`."""
        before, after = network.get_submodule(self.before), network.get_submodule(self.after)
        norm: Any
        _keep(before, "weight", 0, kept)
        if before.bias is not None:
            _keep(before, "bias", 0, kept)
        for name in self.norms:
            norm = network.get_submodule(name)
            for part in ("weight", "bias", "running_mean", "running_var"):
                if getattr(norm, part) is not None:
                    _keep(norm, part, 0, kept)
            norm.num_features = int(kept.sum())
        _keep(after, "weight", 1, kept.repeat_interleave(self.each), factor)
        count = int(kept.sum())
        for layer, name, size in ((before, "out", count), (after, "in", count * self.each)):
            setattr(layer, f"{name}_{'features' if isinstance(layer, torch.nn.Linear) else 'channels'}", size)


def _keep(module: Module, name: str, axis: int, kept: Tensor, factor: float = 1.0) -> None:
    old = getattr(module, name)
    with torch.no_grad():
        new = old.detach().index_select(axis, kept.nonzero().flatten().to(old.device)) * factor
    if isinstance(old, torch.nn.Parameter):
        setattr(module, name, torch.nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(module, name, new)


def prunings(model: Module, inspection: Inspection, places: Sequence[Place]) -> Iterator[Pruning]:
    """The places whose units can be cut out: dropout of whole units or channels, between two layers that run once."""
    trace = inspection.train
    for place in places:
        calls = [call for call in trace.calls if call.module == place.module and call.draws]
        if ":" in place.name or len(calls) != 1:
            continue
        found = _between(model, trace, calls[0], place)
        if found is not None:
            yield found


def _between(model: Module, trace: Trace, drop: Call, place: Place) -> Pruning | None:
    whole = len(place.shape) == 2 or set(place.shared) == set(range(2, len(place.shape)))
    if not whole or 0 in place.shared:
        return None
    norms: list[str] = []
    call = drop
    while True:
        producers = trace.producers(call)
        if len(producers) != 1 or INPUT in call.inputs or len(trace.consumers(producers[0])) != 1:
            return None
        call = producers[0]
        if call.function == "batch_norm" and isinstance(model.get_submodule(call.module), BatchNorm):
            norms.append(call.module)
        elif call.function in _LAYERS:
            break
        elif call.function not in UNITWISE | POOLS:
            return None
    before = _layer(model, trace, call)
    call, flattened = drop, 1
    while True:
        consumers = trace.consumers(call)
        if len(consumers) != 1 or call.index in trace.outputs:
            return None
        (last, call) = (call, consumers[0])
        if call.function in _LAYERS:
            break
        if call.function == "flatten" and len(call.shape) == 2 and last.shape[0] == call.shape[0]:
            flattened = call.shape[1] // last.shape[1]
        elif call.function not in ZERO_AT_ZERO | POOLS or flattened > 1:
            return None
    after = _layer(model, trace, call)
    if before is None or after is None:
        return None
    if any(len([use for use in trace.calls if name in use.parameters]) != 1 for name in _names(before, after)):
        return None
    width = model.get_parameter(_names(after)[0]).shape[1]
    units = place.shape[1]
    if width != units * flattened or model.get_parameter(_names(before)[0]).shape[0] != units:
        return None
    return Pruning(place.name, before, tuple(norms), after, flattened)


def _names(*layers: str) -> list[str]:
    return [f"{name}.weight" if name else "weight" for name in layers]


def _layer(model: Module, trace: Trace, call: Call) -> str | None:
    """The name of the module that makes a layer's call; None if its weights can't be cut."""
    if trace.ran.get(call.module) != 1:
        return None
    module = model.get_submodule(call.module)
    plain = type(module) is _LAYERS[call.function] and getattr(module, "groups", 1) == 1
    return call.module if plain and not hasattr(module, "parametrizations") else None
