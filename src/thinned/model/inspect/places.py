"""Finds the places of a model: the calls of its traces, in both modes, grouped by dropout module or by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ..known.functions import DRAWS, MASKS, UNIFORM
from ..known.modules import rate_attributes, rate_of
from ..known.operations import INSIDE
from ..known.where import Where
from ..watch.trace import Call, Trace
from .place import LAYER_DROP, Place
from .times import Times

Module = torch.nn.Module


@dataclass
class _Group:
    """The calls of one place in each mode, and how many units of its masks were dropped in training."""

    module: str
    kind: str
    file: str
    line: int
    train: list[Call] = field(default_factory=list)
    trace: Trace | None = None  # the training pass that the calls in `train` belong to
    eval: list[Call] = field(default_factory=list)
    dropped: float = 0.0  # units dropped, in all training passes
    counted: int = 0  # units measured, in all training passes


_RECURRENT = ".recurrent_dropout"  # added to the class of a recurrent layer, to name its second noise
ENOUGH = 256  # units of a mask that a measured rate should rest on


class Places:
    """Collects the places of one model from its traces."""

    def __init__(self) -> None:
        self._modules: dict[str, Module] = {}
        self._groups: dict[Where, _Group] = {}
        self._python: dict[str, list[int]] = {}
        self._undecided = False  # whether the code drew numbers that no mask used: they may decide which layers run

    def add(self, trace: Trace, names: dict[str, Module], training: bool) -> None:
        """Group the calls of a trace. A place's training calls are those of the first trace in which it drew."""
        self._modules.update(names)
        self._modules.update(trace.loose)
        applied = {call.applies: call for call in trace.calls if call.applies is not None}
        calls: dict[Where, list[Call]] = {}
        for call in trace.calls:
            if call.draws or call.training is not None:
                key = self._key(trace, call)
                calls.setdefault(key, []).append(call)
                if key not in self._groups:
                    self._groups[key] = _Group(call.module, key.function.removesuffix(_RECURRENT), call.file, call.line)
                if training:
                    self._count(self._groups[key], call, applied.get(call.index))
        for key, own in calls.items():
            group = self._groups[key]
            if not training:
                group.eval = own
            elif not any(call.draws for call in group.train):
                group.train, group.trace = own, trace
        if training:
            drawn = [call for call in trace.calls if call.draws and call.function in UNIFORM | MASKS]
            self._undecided |= any(call.index not in applied for call in drawn)
        for name, times in trace.python_draws.items():
            counts = self._python.setdefault(name, [0, 0])
            counts[not training] = counts[not training] or times

    def drew(self, trace: Trace, place: Place) -> bool:
        """Whether a place drew noise in another trace."""
        if place.kind == "random" and not place.file:
            return bool(trace.python_draws.get(place.module))
        for call in trace.calls:
            key = self._key(trace, call)
            if call.draws and call.module == place.module and key.function.removesuffix(_RECURRENT) == place.kind:
                second = key.function.endswith(_RECURRENT) == place.name.endswith(_RECURRENT)
                if second and (not key.file or (key.file, key.line) == (place.file, place.line)):
                    return True
        return False

    def unsettled(self) -> bool:
        """Whether another training pass may show more: a mask has few units so far, or LayerDrop skips layers."""
        counted = [group.counted for group in self._groups.values() if group.counted]
        return self._drops_layers() or (bool(counted) and min(counted) < ENOUGH)

    def skips(self) -> bool:
        """Whether chance may have decided which layers run: by LayerDrop, or by numbers drawn for no mask."""
        return self._drops_layers() or self._undecided

    def _drops_layers(self) -> bool:
        # LayerDrop may also draw with `random` or NumPy.
        return bool(self._python) or any(key.function == LAYER_DROP for key in self._groups)

    def found(self, first: Trace, times: Times | None) -> Iterator[Place]:
        """The places: first those that ran, in order, then those that did not. `times` belong to the trace `first`."""
        seen = set()
        for key, group in self._groups.items():
            own = _is_dropout(self._modules.get(group.module))
            seen.add(group.module)
            name = group.module
            if not own:
                alike = sorted(other for other in self._groups if other[:2] == key[:2])  # by file and line
                number = alike.index(key) + 1
                name = f"{group.module}:{group.kind}" + (f"#{number}" if number > 1 else "")
            elif key.function.endswith(_RECURRENT):
                name = f"{group.module}.recurrent_dropout"
            yield self._place(name, group, times if group.trace is first else None, own)
        for name, module in self._modules.items():
            if name not in seen and _is_dropout(module) and not self._read_by_another(name, module):
                yield Place(name, name, type(module).__name__, "", 0, rate_of(module), None, (), (), 0, 0, None)
        for name, (train, evaluation) in self._python.items():
            yield Place(f"{name}:random", name, "random", "", 0, None, None, (), (), train, evaluation, None)

    def _key(self, trace: Trace, call: Call) -> Where:
        """The key that all calls of one place share: the dropout module that makes them, or else the line of code."""
        module = self._modules.get(call.module)
        if module is not None and _is_dropout(module):
            recurrent = any(made.function == "ones_like" for made in trace.producers(call))
            second = isinstance(module, torch.nn.RNNBase) and recurrent
            return Where(call.module, type(module).__name__ + (_RECURRENT if second else ""), "", 0)
        function = call.function
        if function in DRAWS and call.shape == () and call.p is not None:
            function = LAYER_DROP  # one number, compared with p, decides whether a layer runs
        return Where(call.module, function, call.file, call.line)

    def _read_by_another(self, name: str, module: Module) -> bool:
        """Whether a dropout module only holds the p that its parent passes to a function of attention or dropout."""
        owner = name.rpartition(".")[0]
        return any(
            group.module == owner
            and group.kind in ("scaled_dot_product_attention", "dropout")
            and group.train
            and group.train[0].p == rate_of(module)
            for group in self._groups.values()
        )

    @staticmethod
    def _count(group: _Group, call: Call, applied: Call | None) -> None:
        if applied is not None and applied.masked is not None:
            # A shared draw counts once.
            units = _size(applied.mask_shape)
            group.dropped += applied.masked * units
            group.counted += units
            return
        for draw in call.draws:
            if draw.dropped is not None:
                units = _size(draw.shape)
                group.dropped += draw.dropped * units
                group.counted += units

    def _place(self, name: str, group: _Group, times: Times | None, own: bool) -> Place:
        drawn = [call for call in group.train if call.draws]
        first = (drawn or group.train or group.eval)[0]
        shape, shared = _acted_on(first, group.trace)
        module = self._modules.get(group.module)
        p = rate_of(module) if own and module is not None else first.p
        if name.endswith(".recurrent_dropout"):
            p = float(module.recurrent_dropout) if module is not None else p  # type: ignore[arg-type]
        measured = group.dropped / group.counted if group.counted else None
        if p is None and first.function == "bernoulli" and first.draws and first.draws[0].dropped is not None:
            p = _told(first)
        if p is not None and first.function in UNIFORM | MASKS and measured is not None:
            p = min((p, 1.0 - p), key=lambda way: abs(way - measured))  # as `rand > p` or `rand < 1 - p`
        return Place(
            name=name,
            module=group.module,
            kind=group.kind,
            file=first.file,
            line=first.line,
            p=p,
            measured=measured,
            shape=shape,
            shared=shared,
            train_calls=len(drawn),
            eval_calls=sum(bool(call.draws) for call in group.eval),
            share=None if times is None or group.trace is None else times.share(group.trace, group.train),
        )


def _is_dropout(module: Module | None) -> bool:
    return module is not None and bool(rate_attributes(module))


def _told(call: Call) -> float | None:
    """The drop probability 1 - q of `x.bernoulli_(q)`; None if q is no number."""
    q = call.arguments.get("p", call.arguments.get("1"))
    return 1.0 - q if isinstance(q, float) else None


def _acted_on(call: Call, trace: Trace | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of the tensor that a call's noise acts on, and the axes of it along which one draw is shared."""
    noise = call.draws[0].shape if call.draws else ()
    shape = call.shape
    if trace is not None and call.function in DRAWS:
        met = next((other for other in trace.calls if other.applies == call.index), None)
        if met is not None:
            shape, noise = met.shape, met.mask_shape
    elif call.function in INSIDE:
        more = len(noise) - len(shape)
        if more > 0 and set(noise[:more]) == {1}:  # from torch 2.14 on attention puts an axis in front inside
            noise = noise[more:]
        shape = noise or shape  # the noise is on the attention weights, or between layers
    if len(noise) > len(shape):  # dropout3d of an unbatched map draws noise with one axis more
        noise = noise[len(noise) - len(shape) :]
    padded = (1,) * (len(shape) - len(noise)) + noise if noise else shape
    shared = tuple(axis for axis, (size, own) in enumerate(zip(shape, padded, strict=True)) if own == 1 and size > 1)
    return shape, shared


def _size(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
