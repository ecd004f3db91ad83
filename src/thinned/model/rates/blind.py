"""Code in which a dropout may hide from who reads the source: code without source, and functions in attributes.

`self.fns = [lambda x: F.dropout(x, 0.5)]` and a `for` over them is a dropout whose p no reading finds. Here it is
found by the names that the code object has, so that it can be named. A run on an example finds its p.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from ..known.functions import DRAWS, FUNCTIONS, MASKS, canonical
from ..source.found import Reading
from ..watch.unregistered import functions_of

Module = torch.nn.Module

_NAMES = {name for name in FUNCTIONS if "drop" in name} | MASKS | {"scaled_dot_product_attention"}


class Blind(NamedTuple):
    """A function that can drop and that no reading covers: the name of its place, and where it is written."""

    name: str
    where: str


def blind(name: str, module: Module, found: list[Reading]) -> Iterator[Blind]:
    """The functions of a module that can drop and that its readings do not cover."""
    forward = inspect.unwrap(module.__dict__.get("forward") or type(module).forward)
    forward = getattr(forward, "__func__", forward)
    if isinstance(forward, types.FunctionType) and _can_hide(forward) and not found:
        yield Blind(f"{name}:forward", _where(forward))
    for path, function in functions_of(module):
        torchs = _drops(function)
        if torchs:
            if not any(reading.where.function == torchs for reading in found):
                yield Blind(f"{name}.{path}" if name else path, "")
        elif isinstance(function, types.FunctionType):
            code = function.__code__
            lines = {line for *_, line in code.co_lines() if line}
            read = any(reading.where.file == code.co_filename and reading.where.line in lines for reading in found)
            if not read and any(part in _NAMES for part in _names(code)):
                yield Blind(f"{name}.{path}" if name else path, _where(function))


def _can_hide(forward: types.FunctionType) -> bool:
    """Whether a forward has no source, or makes the name of a function as text, and has the name of one that drops."""
    names = {*_names(forward.__code__)}
    if "getattr" in names and names & _NAMES:
        return True
    try:
        inspect.getsourcelines(forward)
    except (OSError, TypeError):
        return bool(names & (_NAMES | DRAWS))
    return False


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that a code object and those inside it use, and its texts that are such names."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
        elif isinstance(constant, str) and constant in FUNCTIONS:
            yield constant


def _drops(function: Any) -> str:
    """The name of a function of torch that drops, or of one that a partial calls; "" for any other."""
    if isinstance(function, functools.partial):
        return _drops(function.func)
    name = canonical(function)
    home = str(getattr(function, "__module__", None) or "torch")
    return name if name in _NAMES and home.partition(".")[0] in ("torch", "builtins") else ""


def _where(function: types.FunctionType) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
