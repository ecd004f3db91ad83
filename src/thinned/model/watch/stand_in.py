"""`StandIn`: a copy of a model for runs that nothing outside may notice. It shares the model's parameters.

Copied are the modules, their lists and dictionaries, and what leads to a module: holders, hooks, bound methods, partial
functions, functions with a module in their closure. Parameters and all other objects are shared. Buffers are copied,
for a pass in training mode writes to them.
"""

from __future__ import annotations

import copy
import random
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper, lru_cache, partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...forked import LongLock
from ...nn.site import stream_attributes
from .private_noise import PrivateNoise, unnoticed
from .python_noise import belongs_to_process, dispatcher
from .unregistered import behind_proxy
from .untouched import check_ready, untouched

Module = torch.nn.Module

DEPTH = 8  # levels below a module's attribute, at which a module is still found
MANY = 1000  # a longer list or dictionary is taken for data, unless it begins with a module
_QUICK = {type(None), bool, int, float, str}
_PLAIN = (str, bytes, bool, int, float, complex, type(None), type, ModuleType, Tensor, torch.fx.Graph)
_GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)
_TORCHS = set(vars(Module()))
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class written in Python


class StandIn:
    """The copy of a model. `module` is the copy; `refresh` makes it like the model again, with the same copied modules.

    A model whose parts belong to a process group's machinery (FSDP) can't be copied: `module` is then the model itself,
    and `copied` is False.
    """

    def __init__(self, model: Module, again: Module | None = None) -> None:
        """`again` is an earlier copy of the same modules, to be the copy again: after `refresh`."""
        self.model = model
        self.copied = not any(_managed(module) for module in model.modules())
        self._modules: dict[int, tuple[Module, Module]] = {}  # by `id`: a module and its copy
        self._originals: dict[int, Module] = {}  # by `id` of the copy
        self.module = model
        if again is None:
            self.refresh()
        else:
            self._modules = {id(one): (one, twin) for one, twin in zip(model.modules(), again.modules(), strict=True)}

    def refresh(self) -> None:
        """Make all copied modules like the model's modules are now."""
        if self.copied:
            self.module = _Copying(self._modules).module(self.model)
            self._originals = {id(twin): module for module, twin in self._modules.values()}

    def original(self, module: Module) -> Module:
        """The module of the model that a copied one stands for; another module itself."""
        return self._originals.get(id(module), module)


def _managed(module: Module) -> bool:
    return any(base.__name__ in ("FSDPModule", "FullyShardedDataParallel") for base in type(module).__mro__)


_one_at_a_time = LongLock()  # for models that run themselves


@contextmanager
def stood_in(owner: str, model: Module, stand_in: StandIn | None = None) -> Iterator[tuple[StandIn, PrivateNoise]]:
    """A context manager that gives a copy of a model, and noise, for runs that nothing outside can notice.

    Neither the model's modes, buffers, hooks and attributes change, nor the state of a generator of the process, nor
    how another thread's compiled code runs. `stand_in` is a copy to make again, from an earlier call.

    A model that can't be copied (`StandIn.copied`) runs itself, and is put back at the end as `untouched` does it. No
    other thread may use such a model meanwhile.

    Raises: as `untouched`.
    """
    check_ready(owner, model)
    if stand_in is None:
        stand_in = StandIn(model)
    else:
        stand_in.refresh()
    if stand_in.copied:
        with unnoticed(stand_in.module) as noise:
            yield stand_in, noise
    else:
        with _one_at_a_time, untouched(owner, model, generators=False), unnoticed(model) as noise:
            yield stand_in, noise


class _Copying:
    """One walk over a model, which copies all modules that it meets."""

    def __init__(self, modules: dict[int, tuple[Module, Module]]) -> None:
        self._modules = modules
        self._filled: set[int] = set()
        self._waiting: list[tuple[Module, Module]] = []
        self._memo: dict[int, Any] = {}  # by `id`: what stands for an object
        self._alive: list[Any] = []  # objects in the memo, so that no other one gets the id
        self._under_way: dict[int, Any] = {}  # objects whose parts are being copied, and their copies if met again
        self._fresh: set[int] = set()  # copied containers from which no module can be reached

    def module(self, root: Module) -> Module:
        found = self._twin(root)
        while self._waiting:
            self._fill(*self._waiting.pop())
        return found

    def _twin(self, module: Module) -> Module:
        if id(module) in self._filled:
            return self._modules[id(module)][1]
        self._filled.add(id(module))
        twin: Module
        if isinstance(module, torch.jit.ScriptModule):
            twin = copy.deepcopy(module)  # its modes are in C++, and its weights with them
        elif id(module) in self._modules:
            twin = self._modules[id(module)][1]
        else:
            twin = object.__new__(type(module))
        self._modules[id(module)] = module, twin
        if not isinstance(module, torch.jit.ScriptModule):
            self._waiting.append((module, twin))
        return twin

    def _fill(self, module: Module, twin: Module) -> None:
        left = {"_compiled_call_impl", *(stream_attributes(module) if hasattr(module, "_noises") else ())}
        own: dict[str, Any] = {}
        for name, value in list(vars(module).items()):
            if name in left:
                continue
            if name == "_buffers":
                own[name] = _remade(value, {key: self._buffer(one) for key, one in list(value.items())})
            elif name == "_parameters":
                own[name] = _remade(value, dict(value))
            elif name in _TORCHS and isinstance(value, dict):
                own[name] = _remade(value, {key: self._value(one, DEPTH) for key, one in list(value.items())})
            elif name in _TORCHS and isinstance(value, set):
                own[name] = set(value)
            else:
                own[name] = self._value(value, DEPTH)
        twin.__dict__.clear()
        twin.__dict__.update(own)
        for name in _slots(module):
            if hasattr(module, name):
                object.__setattr__(twin, name, self._value(getattr(module, name), DEPTH))

    def _buffer(self, buffer: Tensor | None) -> Tensor | None:
        if buffer is None:
            return None
        if id(buffer) not in self._memo:
            self._remember(buffer, buffer.detach().clone())
        found: Tensor = self._memo[id(buffer)]
        return found

    def _remember(self, value: Any, made: Any) -> Any:
        self._memo[id(value)] = made
        self._alive.append(value)
        return made

    def _value(self, value: Any, depth: int) -> Any:
        """What stands for a value in the copy: the value itself unless a module can be reached from it."""
        if type(value) in _QUICK:
            return value
        if type(value) in weakref.ProxyTypes:
            target = behind_proxy(value)
            return weakref.proxy(self._twin(target)) if isinstance(target, Module) else value
        if isinstance(value, Module):
            return self._twin(value)
        if isinstance(value, _PLAIN) or not depth:
            return self._memo.get(id(value), value) if isinstance(value, Tensor) else value
        if id(value) in self._memo:
            return self._memo[id(value)]
        if id(value) in self._under_way:
            if self._under_way[id(value)] is None:
                self._under_way[id(value)] = _empty(type(value))
            return self._under_way[id(value)]
        return self._remember(value, self._made(value, depth - 1))

    def _reaches(self, before: Any, after: Any) -> bool:
        """Whether what stands for a value differs because a module can be reached from it."""
        return after is not before and id(after) not in self._fresh

    def _made(self, value: Any, depth: int) -> Any:
        if isinstance(value, (dict, list, tuple, set, frozenset, deque)) and type(value).__module__ != "torch":
            return self._container(value, depth)
        if isinstance(value, MethodType):
            owner = self._value(value.__self__, depth)
            same = not self._reaches(value.__self__, owner)
            return dispatcher(value) or (value if same else MethodType(value.__func__, owner))
        if isinstance(value, FunctionType):
            return self._function(value, depth)
        if isinstance(value, partial):
            return self._partial(value, depth)
        if isinstance(value, _lru_cache_wrapper):
            function = self._value(value.__wrapped__, depth)
            return lru_cache(**value.cache_parameters())(function) if function is not value.__wrapped__ else value
        if isinstance(value, weakref.ReferenceType):
            target = value()
            return weakref.ref(self._twin(target)) if isinstance(target, Module) else value
        if isinstance(value, torch.Generator):
            return torch.Generator(value.device).set_state(value.get_state())
        if isinstance(value, BuiltinFunctionType):
            return dispatcher(value) or value
        if isinstance(value, _GENERATORS):
            return value if belongs_to_process(value) else copy.deepcopy(value)
        return self._object(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        before = list(value.values()) if isinstance(value, dict) else list(value)
        if len(before) > MANY and not isinstance(before[0], Module):
            return value
        if isinstance(value, dict):  # a key may be a module, and a default factory may lead to one
            before += [*value, getattr(value, "default_factory", None)]
        after = [self._value(one, depth) for one in before]
        if not any(self._reaches(one, other) for one, other in zip(before, after, strict=True)):
            # A forward may keep what it computes in such a container.
            keeps = isinstance(value, (dict, list, set, deque))
            if not keeps and all(one is other for one, other in zip(before, after, strict=True)):
                return value
            made = self._filled_like(value, after)
            self._fresh.add(id(made))
            self._alive.append(made)
            return made
        return self._filled_like(value, after)

    @staticmethod
    def _filled_like(value: Any, after: list[Any]) -> Any:
        if isinstance(value, dict):
            values, keys, factory = after[: len(value)], after[len(value) : -1], after[-1]
            made = _remade(value, dict(zip(keys, values, strict=True)))
            if isinstance(made, defaultdict):
                made.default_factory = factory
            return made
        if isinstance(value, list):
            return _refilled(value, after)
        if isinstance(value, deque):
            return deque(after, value.maxlen)
        return type(value)(*after) if hasattr(value, "_fields") else type(value)(after)

    def _partial(self, value: partial[Any], depth: int) -> Any:
        function = self._value(value.func, depth)
        args, kwargs = self._value(value.args, depth), self._value(value.keywords, depth)
        more = self._value(vars(value), depth)
        pairs = ((value.func, function), (value.args, args), (value.keywords, kwargs), (vars(value), more))
        if not any(self._reaches(before, after) for before, after in pairs):
            return value
        made = type(value)(function, *args, **kwargs)
        vars(made).update(more)
        return made

    def _function(self, value: FunctionType, depth: int) -> Any:
        """A function in which each module in the closure, or among the defaults, is a copied one."""
        cells = [(cell, _content(cell)) for cell in value.__closure__ or ()]
        inside = [self._value(content, depth) for _, content in cells]
        changed = [self._reaches(content, new) for (_, content), new in zip(cells, inside, strict=True)]
        defaults, words = self._value(value.__defaults__, depth), self._value(value.__kwdefaults__, depth)
        pairs = ((value.__defaults__, defaults), (value.__kwdefaults__, words))
        if not any(changed) and not any(self._reaches(before, after) for before, after in pairs):
            return value
        closure = tuple(
            CellType(new) if other else cell for (cell, _), new, other in zip(cells, inside, changed, strict=True)
        )
        made = FunctionType(value.__code__, value.__globals__, value.__name__, defaults, closure or None)
        made.__dict__.update(value.__dict__)
        made.__kwdefaults__, made.__qualname__, made.__module__ = words, value.__qualname__, value.__module__
        return made

    def _object(self, value: Any, depth: int) -> Any:
        """An object of a class written in Python: a shallow copy if a module can be reached from it, else itself."""
        slots = _slots(value)
        own = getattr(value, "__dict__", None)
        if not (slots or isinstance(own, dict)) or hasattr(type(value), "__del__") or not _made_empty(type(value)):
            return value
        self._under_way[id(value)] = None
        before = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        before.update(own if isinstance(own, dict) else {})
        after = {name: self._value(one, depth) for name, one in before.items()}
        twin = self._under_way.pop(id(value))
        if twin is None and not any(self._reaches(one, after[name]) for name, one in before.items()):
            return value
        twin = _empty(type(value)) if twin is None else twin
        for name, one in after.items():
            if isinstance(own, dict) and name in own:
                twin.__dict__[name] = one
            else:
                object.__setattr__(twin, name, one)
        return twin


def _empty(kind: Any) -> Any:
    return kind.__new__(kind)


def _made_empty(kind: Any) -> bool:
    """Whether a class makes empty objects: no part of it but `SimpleNamespace` is written in C."""
    plain = all(base in (object, SimpleNamespace) or base.__flags__ & _HEAP for base in kind.__mro__)
    return plain and kind.__new__ in (object.__new__, SimpleNamespace.__new__) and kind is not object


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet
        return None


def _slots(value: Any) -> list[str]:
    names: list[str] = []
    for base in type(value).__mro__:
        own = base.__dict__.get("__slots__", ())
        names += [own] if isinstance(own, str) else list(own)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _remade(value: Any, entries: dict[Any, Any]) -> Any:
    if type(value) in (dict, OrderedDict):
        return type(value)(entries)
    made = copy.copy(value)
    for key in value:
        if key not in entries:
            del made[key]
    for key, entry in entries.items():
        made[key] = entry
    return made


def _refilled(value: Any, items: list[Any]) -> Any:
    if type(value) is list:
        return items
    made = copy.copy(value)
    made[:] = items
    return made
