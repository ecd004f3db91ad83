"""Finds all places of a model in which a module stands, so that another module can be put there.

These are the parents that have it as a registered child. `watch/unregistered.py` finds modules elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...nn.names import named_modules

Module = torch.nn.Module


class Held(NamedTuple):
    """A module with all its qualified names and all its slots. A slot is a parent and the child's name in this parent.

    Example: a ReLU that is both `0` and `1.0` of a model has two names and two slots.
    """

    names: list[str]
    module: Module
    slots: list[tuple[Module, str]]


def held(model: Module) -> list[Held]:
    """Every module once, in the order of `named_modules`. The model itself has no slot.

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
                if full not in names and names[0] != name:  # a wrapper and the module in it share one name
                    names.append(full)
    return list(found.values())
