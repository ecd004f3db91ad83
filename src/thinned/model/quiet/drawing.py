"""Finds out which module draws noise when a random operator of torch runs, and in which line of the user's code.

The answer is read from the Python stack while the operator is dispatched.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch

from ..known.functions import DRAWS, FUNCTIONS, canonical
from ..known.modules import rate_attributes, rate_of
from ..known.where import Where
from ..rates.rate_places import RatePlaces
from ..source.readings import readings
from ..watch.callsite import callsite, is_plumbing
from ..watch.draws import RATES, draws, named_arguments
from ..watch.underway import callers, running
from .model_names import ModelNames

Module = torch.nn.Module

_FUNCTIONAL = torch.nn.functional.__file__


@dataclass(frozen=True, slots=True)
class Drawing:
    """One call of a random operator, and who made it.

    Example: `F.dropout(x, 0.1)` in line 12 of the forward of `encoder` gives the module `encoder` as `owner`,
    `Where("encoder", "dropout", "net.py", 12)` and p = 0.1.
    """

    owner: Module  # the innermost running module that belongs to the model
    where: Where  # its module is the owner's name; for a module that is not registered, its path or `owner<Class>`
    p: float | None  # the drop probability; None if it is unknown


def drawing_of(func: Any, args: Any, kwargs: Any, names: Callable[[], ModelNames]) -> Drawing | None:
    """The draw that an operator is about to make.

    None if the operator draws nothing, draws a key of thinned's, or runs in no module of the model that `names` is of.
    """
    named = named_arguments(func, args, kwargs)
    if not draws(func, named):
        return None
    frame = sys._getframe(1)
    if func.namespace != "thinned" and _is_key(frame):
        return None
    modules = list(running(frame))
    place = names().place(modules)
    if place is None:
        return None
    owner, module = place
    loose = modules[0] if modules[0] is not owner else None
    file, line = callsite(frame)
    function = _function(frame, file, line) or canonical(func).strip("_")
    p = rate_of(loose or owner)
    return Drawing(owner, Where(module, function, file, line), _p(func, named, frame) if p is None else p)


def place_of(module: Module, found: Drawing, places: RatePlaces) -> str:
    """The name of a draw's place, as in `thinned.inspect`."""
    where = found.where
    if rate_attributes(module) or where.module not in places.registered:
        return where.module
    line = f"{where.file}:{where.line}"
    names = [place.name for place in places.by_name.values() if place.module is module and place.where == line]
    return names[0] if names else f"{where.module}:{where.function}"


def in_python(name: str, module: Module) -> Drawing:
    """A draw from Python's or NumPy's generator in the code of a module. The line comes from the module's source.

    If the source shows no such draw, the line is the first one of the forward.
    """
    known = next((reading for reading in readings(module) if reading.where.function == "random"), None)
    if known is not None:
        return Drawing(module, known.where._replace(module=name), known.number)
    code = getattr(type(module).forward, "__code__", None)
    file, line = (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)
    return Drawing(module, Where(name, "random", file, line), None)


def _p(func: Any, named: Mapping[str, Any], frame: FrameType | None) -> float | None:
    """The drop probability: from a function of `torch.nn.functional` on the stack, else from the arguments."""
    for inner in callers(frame):
        if inner.f_code.co_filename == _FUNCTIONAL and inner.f_code.co_name in FUNCTIONS:
            p = inner.f_locals.get("p", inner.f_locals.get("dropout_p"))
            if isinstance(p, (int, float)):
                return float(p)
    if "bernoulli" in func._schema.name:
        kept = named.get("p", 0.5 if func._overloadname == "float" else None)
        return round(1.0 - kept, 12) if isinstance(kept, float) else None
    if func.namespace == "thinned":
        return float(named["law"][0]) / 65536 if func._schema.name == "thinned::drop" else None
    p = next((named[name] for name in (*RATES, "p") if name in named), None)
    return float(p) if isinstance(p, (int, float)) else None


def _function(frame: FrameType | None, file: str, line: int) -> str:
    """The function of torch that the user's line calls: from torch's own frames on the stack, else from the source."""
    outermost = ""
    for inner in callers(frame):
        code = inner.f_code
        if code.co_filename == file and inner.f_lineno == line:
            return outermost or _called(inner)
        if code.co_filename == _FUNCTIONAL and code.co_name in FUNCTIONS:
            outermost = code.co_name
    return outermost


def _called(frame: FrameType) -> str:
    """The name of the function that a frame is calling, read from its source; "" if it is no known random function."""
    positions = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    first, last, start, end = positions
    if first is None or last is None or start is None or end is None:
        return ""
    lines = [linecache.getline(frame.f_code.co_filename, number).encode() for number in range(first, last + 1)]
    if len(lines) == 1:
        lines[0] = lines[0][start:end]
    else:
        lines[0], lines[-1] = lines[0][start:], lines[-1][:end]
    try:
        node = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, UnicodeDecodeError):
        return ""
    target = node.func if isinstance(node, ast.Call) else node
    name = getattr(target, "attr", getattr(target, "id", "")).rstrip("_")
    return name if name in FUNCTIONS or name in DRAWS else ""


def _is_key(frame: FrameType | None) -> bool:
    """Whether thinned's own code is on the stack: then the operator draws a key, and the noise comes later."""
    return any(is_plumbing(inner) for inner in callers(frame))
