"""What a model's noise may hang on, as a list that can be compared with a later one's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from ..nn.names import named_modules

Module = torch.nn.Module

DEPTH = 4  # a module's hooks, one of them, its table of rates, a rate
_SKIPPED = {"training", "_parameters", "_buffers", "_modules"}
_OPAQUE = (Module, ModuleType, FunctionType, MethodType, type)


def state(model: Module) -> list[Any]:
    """The modules, and the numbers, flags and texts that they, their hooks and their configurations hold.

    Not the mode, and no tensors. Cost: about 5 microseconds a module.

    >>> net = torch.nn.Dropout(0.5)
    >>> before = state(net)
    >>> net.p = 0.1
    >>> state(net) == before
    False
    """
    found: list[Any] = []
    seen: set[int] = set()
    for name, module in named_modules(model):
        found += (name, type(module), id(module))
        for key, value in vars(module).items():
            if key not in _SKIPPED and not (isinstance(value, dict) and not value):  # mostly tables of hooks, empty
                found.append(key)
                _walk(value, DEPTH, found.append, seen)
    return found


def _walk(value: Any, depth: int, add: Callable[[Any], None], seen: set[int]) -> None:
    if value is None or isinstance(value, (bool, int, float, str)):
        add(value)
    elif isinstance(value, _OPAQUE):
        add(id(value))
    elif not isinstance(value, Tensor) and depth and id(value) not in seen:
        seen.add(id(value))
        add(type(value))
        if isinstance(value, dict):
            inner: Collection[Any] = [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            inner = value
        else:
            inner = getattr(value, "__dict__", {}).values()
        for each in inner:
            _walk(each, depth - 1, add, seen)
