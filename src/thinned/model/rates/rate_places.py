"""Every place of a model that has a p, and how the p can be set: by an attribute, or by an override of the call.

Names are those of `thinned.inspect`. Without an example, the places come from the modules and from the source of their
forwards. With an example, the model also runs, and places that only the run shows are added.
"""

from __future__ import annotations

import inspect as python
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...nn.names import named_modules
from ...once import once
from ..edit.call_hook import Forward
from ..edit.graph_rate import GraphRate
from ..edit.rate_holder import Attribute, CallRate, RateHolder
from ..inspect.inspect import inspect
from ..inspect.inspection import Inspection
from ..inspect.place import Place
from ..known.modules import rate_attributes
from ..source.readings import CALLS, Known, Reading, readings
from ..watch.unregistered import unregistered
from ..watch.untouched import check_module
from .aliases import aliases
from .blind import blind
from .compiled_places import graph_places, scripted_places

Module = torch.nn.Module


_SETS = ("set_rates", "scale_rates", "Schedule")  # who must reach every place that a pattern names
_SCRIPTED = "TorchScript has compiled its p into the code. Set it before torch.jit.script, or in the source model."
_MADE = "Its module is made in a run and is not there before. Run the model once, and set it then."
_IN_A_GRAPH = "Its p is made in a graph, and is no number there. Set it in the model that the graph was made from."


@dataclass
class RatePlace:
    """A place, and how its p can be set: by its attribute, by its calls, or not at all.

    A `nn.Dropout` at `drop` has `attribute=Attribute(drop, "p")` and no calls. `F.dropout(x, self.rate)` in the forward
    of `encoder` has `attribute=Attribute(encoder, "rate")` and one call. `F.dropout(x, 0.1)` has one call alone.
    """

    name: str
    kind: str
    module: Module
    where: str = ""  # file and line of the call, as "file:line"
    attribute: Attribute | GraphRate | None = None
    calls: list[CallRate] = field(default_factory=list)
    seen: float | None = None  # a p that can only be seen: in a run, or in the source of a mask made by hand
    why: str = ""  # why its p can't be set, where this is known

    @property
    def p(self) -> float | None:
        ways: list[RateHolder] = [*self.calls, *([] if self.attribute is None else [self.attribute])]
        return next((p for way in ways if (p := way.p) is not None), self.seen)

    def __str__(self) -> str:
        return f"{self.name!r} ({self.where})" if self.where else repr(self.name)


class RatePlaces:
    """The places of a model, by name."""

    def __init__(self, owner: str, model: Module, example: Any = None) -> None:
        check_module(owner, model)
        self.example = example
        self.registered = dict(named_modules(model))
        self.loose = unregistered(model)
        self.modules = {**self.registered, **self.loose}
        self.by_name: dict[str, RatePlace] = {}
        self.blind: dict[str, str] = {}  # by name: the file and line of code that may drop, which only a run can show
        inside = {id(module) for module in self.modules.values()}
        for name, module in self.modules.items():
            for place in _places(name, module):
                self.by_name[place.name] = place
            if example is None and owner in _SETS and not _is_known(module):
                self.blind.update(blind(name, module, readings(module), inside))
            for place in _planned(name, module):
                known = self.by_name.get(place.name)
                place.where = "" if known is None else known.where
                self.by_name[place.name] = place
        self.inspection: Inspection | None = None
        if example is not None:
            self.inspection = look(model, example)
            self.by_name = self._with(self.inspection)

    @once
    def aliases(self) -> dict[str, str]:
        """The name of the place for each text by which a plan prints it."""
        return aliases(self.by_name, self.modules)

    def _with(self, inspection: Inspection) -> dict[str, RatePlace]:
        """The places that ran, under the names that the inspection gives them, and then the others."""
        calls = {(name.partition(":")[0], place.where, place.kind): place for name, place in self.by_name.items()}
        found: dict[str, RatePlace] = {}
        for place in inspection.places:
            if ":" in place.name and place.line:
                known = calls.get((place.module, f"{place.file}:{place.line}", place.kind))
                same = self.by_name.get(place.name)
                known = same if known is None and same is not None and not same.where else known  # a graph's
            else:
                known = self.by_name.get(place.name)
            known = known or self._new(place, inspection)
            known.name, known.seen = place.name, place.p
            found[place.name] = known
        taken = {id(located) for located in found.values()}
        for name, located in self.by_name.items():
            if id(located) not in taken:
                located.name = free(name, found)
                found[located.name] = located
        return found

    def _new(self, place: Place, inspection: Inspection) -> RatePlace:
        """A place that only the run has shown."""
        owner, _, kind = place.module.partition("<")
        if owner not in self.modules:
            return RatePlace(place.name, place.kind, self.registered[""], seen=place.p, why=_MADE)
        module = self.modules[owner]
        located = RatePlace(place.name, place.kind, module, f"{place.file}:{place.line}" if place.file else "")
        if kind:
            loose = inspection.train.loose.get(place.module)
            if loose is not None and loose is inspection.eval.loose.get(place.module) and rate_attributes(loose):
                located.attribute = Attribute(loose, rate_attributes(loose)[0])
            return located
        if _by_call(place.kind, place.p):
            located.calls = [CallRate(module, place.where._replace(module=""), place.p)]
        return located


def look(model: Module, example: Any) -> Inspection:
    """Inspect the model on an example: a tensor, a tuple of arguments, or a mapping of named arguments."""
    return inspect(model, *(example if isinstance(example, tuple) else (example,)))


def free(name: str, taken: Mapping[str, Any]) -> str:
    """The name itself if it is free, else the name with the first free number: `name#2`."""
    stem, number = name.partition("#")[0], 2
    while name in taken:
        name, number = f"{stem}#{number}", number + 1
    return name


def _places(name: str, module: Module) -> Iterator[RatePlace]:
    if isinstance(module, torch.jit.ScriptModule):
        for place_name, kind, p in scripted_places(name, module):
            yield RatePlace(place_name, kind, module, seen=p, why=_SCRIPTED)
        return
    if isinstance(module, torch.fx.GraphModule):
        for place_name, kind, rate in graph_places(name, module):
            why = "" if rate is not None else _IN_A_GRAPH
            yield RatePlace(place_name, kind, module, attribute=rate, why=why)
        return
    held = rate_attributes(module)
    if held:
        yield from _own(name, module, held)
        return
    if type(module).__module__.startswith("torch.nn.modules") and not _is_patched(module):
        return
    built: dict[str, RatePlace] = {}
    found = readings(module)
    for reading in found:
        where = f"{reading.where.file}:{reading.where.line}"
        if reading.built:
            place = built.get(reading.built)
            if place is None:
                loose = f"{name}<{reading.built}>"
                place = built[reading.built] = RatePlace(loose, reading.built, module, where)
                place.attribute = _attribute(reading)
                yield place
            place.calls.append(_called(module, reading))
            continue
        alike = sorted({other.where for other in found if other.where.function == reading.where.function})
        number = alike.index(reading.where) + 1
        suffix = f"#{number}" if number > 1 else ""
        place = RatePlace(f"{name}:{reading.where.function}{suffix}", reading.where.function, module, where)
        place.attribute = _attribute(reading)
        if _by_call(reading.where.function, reading.number):
            place.calls = [_called(module, reading)]
        else:
            place.seen = reading.number
        yield place


def _planned(name: str, module: Module) -> Iterator[RatePlace]:
    """The places of calls whose p `apply` has set for a plan."""
    forward = vars(module).get("forward")
    for edit in forward.rates() if isinstance(forward, Forward) else ():
        number = f"#{edit.anchor.number}" if edit.anchor.number > 1 else ""
        call = edit.anchor.call
        yield RatePlace(f"{name}:{call}{number}", call, module, attribute=Attribute(edit, "p"))


def _own(name: str, module: Module, held: tuple[str, ...]) -> Iterator[RatePlace]:
    """The places of a dropout module. Its p is where `rate_attributes` says, or where a foreign forward reads it."""
    kind = type(module).__name__
    for place, attribute in enumerate(held):
        located = RatePlace(name if place == 0 else f"{name}.{attribute}", kind, module)
        located.attribute = Attribute(module, attribute)
        if not _standard(module):
            file = python.getsourcefile(type(module).forward) or ""
            found = readings(module)
            holders = [holder for reading in found if (holder := _attribute(reading)) is not None]
            constant = [
                reading
                for reading in found
                if reading.number is not None and _by_call(reading.where.function, reading.number)
            ]
            if holders:
                named = [holder for holder in holders if holder.name == attribute]
                located.attribute = (named or holders)[0]
            elif constant:
                located.attribute, located.where = None, f"{file}:{constant[0].where.line}"
                located.calls = [_called(module, reading) for reading in constant]
        yield located


def _is_known(module: Module) -> bool:
    """Whether nothing can hide in a module: a layer of torch without hooks, or what has no Python source at all."""
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return True
    hooked = module._forward_hooks or module._forward_pre_hooks
    torchs = type(module).__module__.startswith(("torch.nn.modules", "thinned.nn"))
    return torchs and not hooked and not _is_patched(module)


def _is_patched(module: Module) -> bool:
    """Whether a user has put another forward on a module: `layer.forward = ...`."""
    own = vars(module).get("forward")
    return own is not None and not type(own).__module__.startswith("thinned.")


def _by_call(function: str, p: float | None) -> bool:
    """Whether a call's p can be overridden; not where our Gaussian dropout at p = 1 makes zeros without an operator."""
    return function in CALLS or (function == "gaussian_dropout" and p != 1.0)


def _standard(module: Module) -> bool:
    """Whether a module is torch's or ours, so that `rate_attributes` is right about where p is."""
    return hasattr(module, "_noises") or type(module).forward.__module__.startswith("torch.nn.")


def _attribute(reading: Reading) -> Attribute | None:
    holder: Known | None = reading.holder
    return None if holder is None else Attribute(holder.owner, holder.name, holder.complement)


def _called(module: Module, reading: Reading) -> CallRate:
    return CallRate(module, reading.where, _attribute(reading) or reading.number)
