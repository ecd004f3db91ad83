"""How an example, or a batch, is given to a model: which arguments its call gets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

Module = torch.nn.Module
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def arguments(model: Module, example: Any) -> Arguments:
    """The arguments of a call: a tuple's or list's items, a mapping's values by name, or one argument.

    >>> arguments(torch.nn.Linear(4, 2), (1, 2)), arguments(torch.nn.Linear(4, 2), {"input": 1})
    (((1, 2), {}), ((), {'input': 1}))
    """
    if isinstance(example, Mapping):
        return by_name(model, (example,), {})
    return (tuple(example), {}) if isinstance(example, (tuple, list)) else ((example,), {})


def by_name(model: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
    """The arguments of a call as given, but for a mapping that is alone: its entries are the arguments, by name.

    A model whose forward takes one argument, of which no entry has the name, gets the mapping itself.

    >>> class Net(torch.nn.Module):
    ...     def forward(self, batch): ...
    >>> by_name(Net(), ({"x": 1},), {}), by_name(Net(), ({"batch": 1},), {})
    ((({'x': 1},), {}), ((), {'batch': 1}))
    """
    if len(args) != 1 or kwargs or not isinstance(args[0], Mapping) or _takes_it_whole(model, args[0]):
        return tuple(args), dict(kwargs)
    return (), dict(args[0])


def _takes_it_whole(model: Module, mapping: Mapping[Any, Any]) -> bool:
    if not all(isinstance(name, str) for name in mapping):
        return True
    try:
        named = inspect.signature(model.forward).parameters
    except (AttributeError, TypeError, ValueError):  # no module, or written in C
        return False
    kinds = [parameter.kind for parameter in named.values()]
    if named.keys() & mapping.keys() or inspect.Parameter.VAR_KEYWORD in kinds:
        return False
    free = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [one for one in named.values() if one.kind in free and one.default is inspect.Parameter.empty]
    return len(needed) == 1
