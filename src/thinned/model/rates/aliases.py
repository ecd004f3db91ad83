"""The other names of a place: the texts by which a plan prints it, so that `set_rates` takes what a plan shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch

from ..edit.anchor import ROOT
from ..edit.call_hook import CallEdit, Forward
from ..edit.module_hook import InputHook, OutputHook
from ..edit.rate_holder import Attribute

Module = torch.nn.Module


class Named(Protocol):
    """What is asked of a place: a `RatePlace`."""

    name: str
    attribute: Any


def aliases(places: Mapping[str, Named], modules: Mapping[str, Module]) -> dict[str, str]:
    """The name of the place for each text of a plan.

    Examples: "output of 1" for `1.thinned_output`; "p of drop" and "drop.p" for `drop`; "dropout() in block" and
    "p of dropout() in block" for `block:dropout`.
    """
    names = {id(module): name for name, module in reversed([*modules.items()])}
    found: dict[str, str] = {}
    for place in places.values():
        for text in _texts(place, names):
            found.setdefault(text, place.name)
    for module in modules.values():
        for text, drop in _planned(module):
            name = names.get(id(drop), "")
            if name in places:
                found.setdefault(text, name)
    return found


def _texts(place: Named, names: Mapping[int, str]) -> Iterator[str]:
    attribute = place.attribute
    if isinstance(attribute, Attribute):
        if isinstance(attribute.owner, CallEdit):
            yield str(attribute.owner.anchor)
        elif id(attribute.owner) in names:
            owner = names[id(attribute.owner)]
            yield f"{attribute.name} of {owner or ROOT}"
            yield f"{owner}.{attribute.name}".lstrip(".")
    module, _, call = place.name.partition(":")
    if call:
        function, _, number = call.partition("#")
        yield f"{function}(){'#' + number if number else ''} in {module or ROOT}"


def _planned(module: Module) -> Iterator[tuple[str, Module]]:
    """The dropouts that `apply` has put on a module, with the text of each in the plan."""
    if isinstance(module, torch.jit.ScriptModule):
        return
    for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
        if isinstance(hook, OutputHook | InputHook):
            yield hook.place, hook.drop
    forward = vars(module).get("forward")
    if isinstance(forward, Forward):
        for numbers in forward.edits.values():
            for edits in numbers.values():
                yield from ((str(edit.anchor), edit.drop) for edit in edits if edit.drop is not None)
