"""Which attribute each dropout call in a forward reads p from, found from the forward's source and the live module.

The source is read as Python would run it in training, with the live module as `self`. Names and attributes are looked
up. A branch on a setting is taken as the setting is now. Functions and methods that it calls are read in turn. A value
that only a run can give is UNKNOWN.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .found import CALLS, Reading
from .scope import Scope
from .value import UNKNOWN, Known

__all__ = ["CALLS", "Known", "Reading", "readings"]

Module = torch.nn.Module

DEPTH = 12  # how many functions deep a call is followed


def readings(module: Module) -> list[Reading]:
    """The calls that drop in a module's own forward, in the order of its code; none where there is no source."""
    reader = _ModuleReader(module)
    function = inspect.unwrap(module.__dict__.get("forward") or type(module).forward)
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):  # an object stands in place of the forward, and calls it
        function = inspect.unwrap(type(module).forward)
    first = [*inspect.signature(function).parameters][:1]
    reader.enter(function, [Known(module)] if first == ["self"] or "forward" not in module.__dict__ else [], {})
    once = {found.where: found for found in reversed(reader.found)}
    return [found for found in reader.found if once.get(found.where) is found]


@functools.lru_cache(maxsize=4096)
def _definition(function: types.FunctionType) -> tuple[ast.FunctionDef, str] | None:
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    node = tree.body[0] if tree.body else None
    if not isinstance(node, ast.FunctionDef):
        return None
    ast.increment_lineno(node, first - 1)
    return node, function.__code__.co_filename


class _ModuleReader:
    """Reads the forward of one module, and the functions that it calls: the `Reader`."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.found: list[Reading] = []
        self.stack: list[types.FunctionType] = []

    def enter(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Read a Python function's body. Returns: the value that the function returns, or UNKNOWN."""
        if not isinstance(function, types.FunctionType) or function in self.stack or len(self.stack) == DEPTH:
            return UNKNOWN
        known = _definition(function)
        if known is None:
            return UNKNOWN
        node, file = known
        self.stack.append(function)
        try:
            scope = Scope(self, function, file)
            scope.bind(node.args, args, kwargs, whole=len(self.stack) > 1)
            scope.run(node.body)
            return scope.returned
        finally:
            self.stack.pop()
