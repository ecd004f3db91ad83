"""Modules that a model holds where torch does not look: in lists, dictionaries, other objects, partials and closures.

`nn.Module` registers only a module that is itself an attribute. `self.drops = [nn.Dropout(), nn.Dropout()]` has two
modules that no `eval()` reaches. Their names here are the path to them: `drops[0]` and `drops[1]`.
"""

from __future__ import annotations

import contextlib
import functools
import random
import types
from collections import defaultdict, deque
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from weakref import ProxyTypes, ReferenceType, WeakKeyDictionary, WeakSet, WeakValueDictionary

import torch
from numpy.random import Generator, RandomState

from ...nn.names import named_modules
from .python_noise import belongs_to_process

Module = torch.nn.Module

_DEEPEST = 8  # how many objects a path goes through at most
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_TORCHS = {*vars(Module())} - {*_HOOKS}
_OURS = "_converted_from"  # the attribute in which `convert` keeps the module that a layer of ours replaced
# Values that hold no module.
_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.Tensor, torch.dtype, torch.device, type)
_MAPPINGS = (dict, types.MappingProxyType, WeakKeyDictionary, WeakValueDictionary)
_SETS = (set, frozenset, WeakSet)
_COLLECTIONS = (*_MAPPINGS, *_SETS, list, tuple, deque)
_HOLDERS = (Module, *_COLLECTIONS)
_GENERATORS = (torch.Generator, random.Random, RandomState, Generator)
_LONGEST = 4096  # a longer list holds data
# Packages whose objects are not entered: they hold no layers, or they hold the whole model and what trains it.
_CLOSED = {
    *("torch", "numpy", "thinned", "pandas", "builtins", "threading", "logging", "weakref", "random", "concurrent"),
    *("lightning", "lightning_fabric", "pytorch_lightning", "accelerate"),
}


def unregistered(model: Module, *, shared: bool = False) -> dict[str, Module]:
    """The modules that a model holds in no registered place, by path, with the modules inside them.

    Searched are plain attributes of modules and of their classes, lists, tuples, sets, mappings and their keys,
    dataclasses and other objects, weak references, context variables, `functools.partial`, functions (their closures,
    defaults, and the modules among the globals that they name), hooks and the forwards themselves. A module that
    several paths lead to has the first one.

    Arguments:
        shared: whether the modules count that are registered too, and stand in such a place as well.
    """
    registered = {id(module) for _, module in named_modules(model)}
    known = set() if shared else set(registered)
    found: dict[str, Module] = {}
    for name, owner in named_modules(model):
        for path, module in _values(owner):
            if not issubclass(type(module), Module) or id(module) in known:
                continue
            if any(part is model for _, part in named_modules(module)):
                continue  # a way back to a model that holds this one
            whole = f"{name}.{path}" if name else path
            for below, part in [("", module)] if id(module) in registered else named_modules(module):
                if id(part) not in known:
                    known.add(id(part))
                    found[f"{whole}.{below}" if below else whole] = part
    return found


def behind_proxy(value: Any) -> Any:
    """The object that a weak proxy stands for, None if it is gone; any other value itself."""
    if type(value) not in ProxyTypes:
        return value
    try:
        return getattr(value.__init__, "__self__", None)
    except ReferenceError:
        return None


def functions_of(module: Module) -> Iterator[tuple[str, Any]]:
    """The functions and partials that the attributes and hooks of a module lead to, by path; not its own methods."""
    for path, value in _values(module):
        own = getattr(value, "__self__", None) is module or path == "forward"
        if callable(value) and not own and not issubclass(type(value), Module | type):
            yield path, value


def generators_of(model: Module) -> list[Any]:
    """The generators of `random` and NumPy that a model leads to, those of the process among them."""
    return [value for value in _generators(model) if not isinstance(value, torch.Generator)]


def private_generators(model: Module) -> list[Any]:
    """All generators beside those of the process that a model leads to, torch's among them."""
    found = _generators(model)
    return [value for value in found if value is not torch.default_generator and not belongs_to_process(value)]


def _generators(model: Module) -> list[Any]:
    """All generators that a model leads to.

    They are in its attributes, in the closures and global names of its methods, and in those of functions named there.
    """
    modules = [module for _, module in named_modules(model)]
    functions = [
        function
        for kind in dict.fromkeys(kind for module in modules for kind in type(module).__mro__)
        if not _is_foreign(kind)
        for value in vars(kind).values()
        if isinstance(function := getattr(value, "__func__", value), types.FunctionType)
    ]
    found = []
    for module in modules:
        for _, value in _values(module):
            if isinstance(value, types.FunctionType):
                functions.append(value)
            elif issubclass(type(value), _GENERATORS):
                found.append(value)
    seen: set[int] = set()
    for function in functions:
        found += _named_generators(function, seen, _DEEPEST)
    return [*{id(value): value for value in found}.values()]


def _named_generators(function: types.FunctionType, seen: set[int], deep: int) -> list[Any]:
    """The generators in a function's closure and among the globals that it names, and those of functions there."""
    if id(function) in seen or not deep or str(function.__module__).startswith(("torch.", "thinned.", "numpy.")):
        return []
    seen.add(id(function))
    values = [function.__globals__.get(name) for name in _names(function.__code__)]
    values += [inner for _, inner in (*_closure(function), *_defaults(function))]
    found = []
    for value in values:
        if isinstance(value, types.FunctionType):
            found += _named_generators(value, seen, deep - 1)
        elif issubclass(type(value), _GENERATORS):
            found.append(value)
    return found


@functools.lru_cache(maxsize=8192)
def _names(code: types.CodeType) -> frozenset[str]:
    """The global names and attributes that a function's code names, and the code inside of it."""
    inner = (_names(inside) for inside in code.co_consts if isinstance(inside, types.CodeType))
    return frozenset(code.co_names).union(*inner)


def _values(module: Module) -> Iterator[tuple[str, Any]]:
    """The values that the attributes, the hooks and the forward of a module lead to, by path."""
    seen: set[int] = set()
    # Of a wrapper of torch.compile only what it wraps is the model's.
    if isinstance(module, torch.jit.ScriptModule) or "_orig_mod" in module._modules:
        return
    forward = type(module).forward
    mine: list[tuple[str, Any]] = [("forward", forward)] if isinstance(forward, types.FunctionType) else []
    mine += [
        (name, value)
        for kind in type(module).__mro__
        if not _is_foreign(kind)
        for name, value in vars(kind).items()
        if isinstance(value, (functools.partial, *_HOLDERS)) and not name.startswith("__")
    ]
    for attribute, value in [*vars(module).items(), *mine]:
        if attribute in _TORCHS or attribute == _OURS:
            continue
        hooks = attribute in _HOOKS
        value = [hook for hook in [*value.values()] if not _is_ours(hook)] if hooks else value
        yield from _below(value, attribute.lstrip("_") if hooks else attribute, _DEEPEST, seen)


def _below(value: Any, path: str, deep: int, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """A value and the values in it, with their paths. A module is not entered."""
    value = behind_proxy(value)
    if isinstance(value, _PLAIN) or id(value) in seen:
        return
    seen.add(id(value))
    yield path, value
    if deep and not issubclass(type(value), Module):
        for step, inner in _inside(value):
            yield from _below(inner, path + step, deep - 1, seen)


def _is_foreign(kind: type) -> bool:
    """Whether a class of a module's is none that a user has written."""
    return str(kind.__module__).startswith(("torch.", "thinned.", "builtins"))


def _is_ours(hook: Any) -> bool:
    return type(hook).__module__.startswith("thinned.")


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a value, each with the step that leads to it."""
    if isinstance(value, _COLLECTIONS) and len(value) > _LONGEST:
        return
    if isinstance(value, _MAPPINGS):
        entries = [*value.items()]
        yield from ((f"[{key!r}]", inner) for key, inner in entries)
        yield from (
            (f".keys()[{number}]", key) for number, (key, _) in enumerate(entries) if not isinstance(key, _PLAIN)
        )
        if isinstance(value, defaultdict):
            yield ".default_factory", value.default_factory
    elif isinstance(value, list | tuple | deque):
        names = getattr(value, "_fields", None)
        for number, inner in enumerate(value):
            yield (f".{names[number]}" if names else f"[{number}]"), inner
    elif isinstance(value, _SETS):
        yield from ((f"[{number}]", inner) for number, inner in enumerate(value))
    elif isinstance(value, ReferenceType):
        yield "()", value()
    elif isinstance(value, ContextVar):
        with contextlib.suppress(LookupError):  # no value yet
            yield ".get()", value.get()
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield from ((f".args[{number}]", inner) for number, inner in enumerate(value.args))
        yield from ((f".keywords[{name!r}]", inner) for name, inner in value.keywords.items())
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _closure(value)
        named = ((name, value.__globals__.get(name)) for name in value.__code__.co_names)
        yield from ((f".{name}", inner) for name, inner in named if isinstance(inner, _HOLDERS))
        yield from _defaults(value)
    elif str(type(value).__module__).partition(".")[0] not in _CLOSED:
        own = getattr(value, "__dict__", None)
        yield from ((f".{name}", inner) for name, inner in [*(own or {}).items()])
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if not name.startswith("__") and hasattr(value, name):
                    yield f".{name}", getattr(value, name)


def _closure(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f".{name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _defaults(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    yield from ((f".{name}", inner) for name, inner in (function.__kwdefaults__ or {}).items())
    yield from ((f".__defaults__[{number}]", inner) for number, inner in enumerate(function.__defaults__ or ()))
