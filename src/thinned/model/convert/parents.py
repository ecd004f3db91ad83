"""Who holds a module: the parents that have it as a child, and the plain attributes where torch sees none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from ...nn.names import named_modules
from .swap import ORIGINAL

Module = torch.nn.Module


class Held(NamedTuple):
    """A module: all its names, the first one first, and its slots, each a parent and what that calls it."""

    names: list[str]
    module: Module
    slots: list[tuple[Module, str]]


def held(model: Module) -> list[Held]:
    """Every module once, in the order of `named_modules`; the model itself has no seat.

    >>> shared = torch.nn.ReLU()
    >>> [found.names for found in held(torch.nn.Sequential(shared, torch.nn.Sequential(shared)))]
    [[''], ['0', '1.0'], ['1']]
    """
    found = {id(module): Held([name], module, []) for name, module in named_modules(model)}
    for (name, *_), parent, _ in found.values():
        for child_name, child in parent._modules.items():
            if child is not None:
                names, _, slots = found[id(child)]
                slots.append((parent, child_name))
                full = f"{name}.{child_name}" if name else child_name
                if full not in names and names[0] != name:  # what a wrapper wraps has the wrapper's name
                    names.append(full)
    return list(found.values())


def unregistered(model: Module) -> Iterator[tuple[str, Module]]:
    """Modules, and those in them, that plain attributes, lists, tuples and dictionaries of the model's modules hold.

    Of a module that is registered too, only itself: what is in it has been seen.
    """
    modules = list(named_modules(model))
    registered = {id(module) for _, module in modules}
    torchs = {*vars(Module()), ORIGINAL}
    for name, owner in modules:
        for attribute, value in [*vars(owner).items()]:
            if attribute in torchs:
                continue
            inside = [*value.values()] if isinstance(value, dict) else value
            for module in inside if isinstance(inside, list | tuple) else [inside]:
                if isinstance(module, Module):
                    parts = [("", module)] if id(module) in registered else named_modules(module)
                    for below, part in parts:
                        yield ".".join(filter(None, (name, attribute, below))), part
