"""The state that a model's noise may depend on, as a list to compare with a later one."""

from __future__ import annotations

import copyreg
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from numbers import Number
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..nn.names import named_modules

Module = torch.nn.Module

DEPTH = 4  # levels below a module: its table of hooks, one hook, the hook's rates, one rate
_SKIPPED = {"training", "_parameters", "_buffers", "_modules"}
_QUICK = {type(None), bool, int, float, str}
_PLAIN = (str, Number, np.generic)
_OPAQUE = (ModuleType, FunctionType, MethodType, type)


def state(model: Module) -> list[Any]:
    """The modules of a model, and the numbers, flags and texts in them, their hooks and their configurations.

    Modes and tensors are left out. Cost: about 5 microseconds a module.

    >>> net = torch.nn.Dropout(0.5)
    >>> before = state(net)
    >>> net.p = 0.1
    >>> state(net) == before
    False
    """
    return _Walk(model).found


class _Walk:
    """Collects the state of all modules, including modules in plain lists."""

    def __init__(self, model: Module) -> None:
        self.found: list[Any] = []
        self._seen: dict[int, tuple[int, int]] = {}  # by `id` of an object: the depth searched, and its number
        self._modules: list[tuple[str, Module]] = []
        self._known: set[int] = set()
        self._meet(model)
        for name, module in self._modules:  # the list grows in the loop
            self.found += (name, type(module), id(module))
            for key, value in [*vars(module).items()]:  # another thread may put hooks on meanwhile
                if key not in _SKIPPED and not (isinstance(value, dict) and not value):  # mostly empty tables of hooks
                    self.found.append(key)
                    self._walk(value, DEPTH)

    def _meet(self, module: Module) -> None:
        new = [(name, inner) for name, inner in named_modules(module) if id(inner) not in self._known]
        self._modules += new
        self._known.update(id(inner) for _, inner in new)

    def _walk(self, value: Any, depth: int) -> None:
        if type(value) in _QUICK:
            self.found.append(value)
        elif isinstance(value, _OPAQUE):
            self.found.append(value)  # not its id, which a later object could have
        elif isinstance(value, Module):
            self.found.append(id(value))
            self._meet(value)
        elif isinstance(value, Tensor):
            pass
        elif type(value) is not dict and isinstance(value, _PLAIN):
            self.found.append(value)
        elif depth:
            deep, number = self._seen.get(id(value), (0, len(self._seen)))
            self.found += (type(value), number)
            if deep < depth:
                self._seen[id(value)] = depth, number
                for inner in _inside(value):
                    self._walk(inner, depth - 1)


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from [*value.keys()]
        yield from [*value.values()]
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        yield from [*value]
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    if not isinstance(value, dict):
        yield from [*getattr(value, "__dict__", {}).values()]
        for name in copyreg._slotnames(type(value)):  # type: ignore[attr-defined]
            yield getattr(value, name, None)
