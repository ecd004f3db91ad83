"""Code in which a dropout may hide from who reads the source: code without source, and functions in attributes.

`self.fns = [lambda x: F.dropout(x, 0.5)]` and a `for` over them is a dropout whose p no reading finds. Here it is
found by the names that the code object has, so that it can be named. A run on an example finds its p.
"""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from ..._torch import DropoutNd
from ..known.functions import FUNCTIONS, MASKS, canonical
from ..known.modules import rate_attributes
from ..source.imports import NotLoaded
from ..source.readings import Reading, called_modules, readings, unread
from ..watch.unregistered import functions_of

Module = torch.nn.Module

_NAMES = {name for name in FUNCTIONS if "drop" in name} | MASKS | {"scaled_dot_product_attention"}


class Blind(NamedTuple):
    """A function that can drop and that no reading covers: the name of its place, and where it is written."""

    name: str
    where: str


def blind(name: str, module: Module, found: list[Reading], known: Collection[int]) -> Iterator[Blind]:
    """The functions of a module that can drop and that its readings do not cover.

    `known`: the ids of the modules to which paths in the model lead. Others may be called, too.
    """
    strangers = [called for called in called_modules(module) if id(called.what) not in known]
    hidden = [u for u in unread(module) if _may_drop(u.what)] + [u for u in strangers if _has_dropout(u.what)]
    for number, where in enumerate(dict.fromkeys(f"{u.file}:{u.line}" for u in hidden), 1):
        yield Blind(f"{name}:forward" + (f"#{number}" if number > 1 else ""), where)
    called = outside_forward(module)
    if called is not None:
        yield Blind(f"{name}:__call__", _where(called))
    read = {reading.where.function for reading in found}
    for path, function in functions_of(module):
        torchs = _drops(function)
        if path.startswith("forward."):  # the forward that a decorator wraps, which has been read
            continue
        if torchs and torchs not in read:
            yield Blind(f"{name}.{path}" if name else path, "")
        function = _python_code(function)
        if torchs or not isinstance(function, types.FunctionType) or _covers(found, function):
            continue
        if _can_drop(function, set()):
            yield Blind(f"{name}.{path}" if name else path, _where(function))


def outside_forward(module: Module) -> types.FunctionType | None:
    """The `__call__` of a module's own class, if it may drop: outside of the forward, where no hook of torch is."""
    called: Any = type(module).__call__
    own = isinstance(called, types.FunctionType) and called is not Module.__call__
    return called if own and _can_drop(called, set()) else None


def _python_code(function: Any) -> Any:
    """The function that runs when something is called: of a method, and of an object with `__call__`."""
    if isinstance(function, types.FunctionType | functools.partial):
        return function
    return getattr(function, "__func__", None) or type(function).__call__


def _covers(found: list[Reading], function: types.FunctionType) -> bool:
    """Whether a reading is of a line of the function."""
    code = function.__code__
    lines = {line for *_, line in code.co_lines() if line}
    return any(reading.where.file == code.co_filename and reading.where.line in lines for reading in found)


def _has_dropout(module: Module) -> bool:
    """Whether a module that stands nowhere in the model has a dropout in it."""
    return any(rate_attributes(part) or readings(part) for part in module.modules())


def _may_drop(what: Any) -> bool:
    """Whether something that the reading did not follow may drop."""
    if isinstance(what, NotLoaded):
        return what.says({name for name in _NAMES if "drop" in name})
    if isinstance(what, str):  # code as text, or the class of a dropout that another module is to call
        return any(name in what.lower() for name in _NAMES)
    if isinstance(what, types.ModuleType):
        return True
    if isinstance(what, type):
        methods = (getattr(part, "__func__", part) for kind in what.__mro__ for part in vars(kind).values())
        own = [part for part in methods if isinstance(part, types.FunctionType)]
        return any(_can_drop(part, set()) or _builds(part) for part in own)
    function = _python_code(what)
    if not isinstance(function, types.FunctionType):
        return bool(_drops(what))
    return bool(_drops(what)) or _can_drop(function, set()) or _builds(function)


def _builds(function: types.FunctionType) -> bool:
    """Whether a function names a class of dropout modules."""
    if str(function.__module__).partition(".")[0] in ("torch", "thinned"):
        return False
    named = _named_values(function.__code__, function, {})
    return any(isinstance(value, type) and issubclass(value, DropoutNd) for value in named)


def _can_drop(function: types.FunctionType, seen: set[int]) -> bool:
    """Whether the code of a function names a function that drops, itself or in a function that it calls."""
    if id(function) in seen or str(function.__module__).partition(".")[0] in ("torch", "thinned"):
        return False
    seen.add(id(function))
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    values = [*_named_values(function.__code__, function, cells)]
    if any(value is getattr for value in values) and any(value is torch or value is F for value in values):
        return True  # the name of a function as text
    for value in values:
        if isinstance(value, str):  # a method of what is known only in a run
            if value.rstrip("_") in MASKS:
                return True
        elif _drops(value) or (isinstance(value, types.FunctionType) and _can_drop(value, seen)):
            return True
    return False


def _named_values(
    code: types.CodeType, function: types.FunctionType, cells: Mapping[str, types.CellType]
) -> Iterator[Any]:
    """The values of global names and of the attributes read from them; the name of an attribute of anything else."""
    value: Any = _UNKNOWN
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            value = function.__globals__.get(step.argval, vars(builtins).get(step.argval, _UNKNOWN))
        elif step.opname in ("LOAD_DEREF", "LOAD_CLASSDEREF") and step.argval in cells:
            try:
                value = cells[step.argval].cell_contents
            except ValueError:  # not assigned yet
                value = _UNKNOWN
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            if not isinstance(value, types.ModuleType):
                yield str(step.argval)
                value = _UNKNOWN
                continue
            value = getattr(value, step.argval, _UNKNOWN)
        elif step.opname not in ("PUSH_NULL", "CACHE", "RESUME"):
            value = _UNKNOWN
        if value is not _UNKNOWN:
            yield value
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _named_values(constant, function, cells)


_UNKNOWN = object()


def _drops(function: Any) -> str:
    """The name of a function of torch that drops, or of one that a partial calls; "" for any other."""
    if isinstance(function, functools.partial):
        return _drops(function.func)
    if not callable(function) or isinstance(function, type | Module):
        return ""
    name = canonical(function)
    home = str(getattr(function, "__module__", None) or "torch").partition(".")[0]
    return name if name in _NAMES and home in ("torch", "builtins", "thinned") else ""


def _where(function: types.FunctionType) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
