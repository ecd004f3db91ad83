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

from ..known.functions import canonical
from .call import is_library, is_torchs
from .found import CALLS, Reading
from .scope import Scope
from .unread import Unread, functions_in
from .value import UNKNOWN, Known

__all__ = ["CALLS", "Known", "Reading", "Unread", "called_modules", "readings", "unread"]

Module = torch.nn.Module

DEPTH = 12  # how many functions deep a call is followed


def readings(module: Module) -> list[Reading]:
    """The calls that drop in a module's own forward, in the order of its code; none where there is no source."""
    found = _read(module).found
    once = {reading.where: reading for reading in reversed(found)}
    return [reading for reading in found if once.get(reading.where) is reading]


def unread(module: Module) -> list[Unread]:
    """What a module's own forward mentions that may drop, and that no reading covers."""
    return _read(module).not_followed


def called_modules(module: Module) -> list[Unread]:
    """The modules that a module's own forward calls by name, children or not."""
    return _read(module).called_modules


def _read(module: Module) -> _ModuleReader:
    reader = _ModuleReader(module)
    whole = module.__dict__.get("forward") or type(module).forward
    function = inspect.unwrap(whole)
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):  # an object stands in place of the forward, and calls it
        whole = type(module).forward
        function = inspect.unwrap(whole)
    first = [*inspect.signature(function).parameters][:1]
    own = [Known(module)] if first == ["self"] or "forward" not in module.__dict__ else []
    reader.enter(function, own, {})
    reader.enter_wrappers(whole)
    reader.enter_mentioned()
    return reader


@functools.lru_cache(maxsize=4096)
def _definition(function: types.FunctionType) -> tuple[ast.FunctionDef, str] | None:
    try:
        lines, first = inspect.getsourcelines(function.__code__)  # of a wrapper its own
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
        self.order: list[types.FunctionType] = []  # the functions that have been entered
        self.only_new = False  # whether to leave out what has been entered, with arguments of which more was known
        self.mentioned: list[Unread] = []  # functions that the source has as values, such as `map(f, parts)` has `f`
        self.by_value: set[str] = set()  # the functions of torch that are called through a value, as in `f = F.dropout`
        self.not_followed: list[Unread] = []
        self.called_modules: list[Unread] = []  # modules, children or not

    def enter(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Read a Python function's body. Returns: the value that the function returns, or UNKNOWN."""
        if not isinstance(function, types.FunctionType) or function in self.stack:
            return UNKNOWN
        if self.only_new and function in self.order:
            return UNKNOWN
        known = _definition(function) if len(self.stack) < DEPTH else None
        if known is None:
            self.not_followed.append(Unread(function, function.__code__.co_filename, function.__code__.co_firstlineno))
            return UNKNOWN
        node, file = known
        self.order.append(function)
        self.stack.append(function)
        try:
            scope = Scope(self, function, file)
            scope.bind(node.args, args, kwargs, whole=len(self.stack) > 1)
            scope.run(node.body)
            return scope.returned
        finally:
            self.stack.pop()

    def enter_wrappers(self, function: Any) -> None:
        """Read the functions that decorators have put around one, which may drop themselves."""
        before, self.only_new = self.only_new, True
        while (inner := getattr(function, "__wrapped__", None)) is not None:
            outer = getattr(function, "__func__", function)
            if isinstance(outer, types.FunctionType) and outer not in self.order and not is_library(outer):
                self.enter(outer, [], {})
            function = inner
        self.only_new = before

    def enter_mentioned(self) -> None:
        """Read the functions that are nowhere called by name: something else calls them, with arguments not known."""
        self.only_new = True
        seen: set[int] = set()
        for mention in self.mentioned:  # the list grows
            for value in functions_in(mention.what):
                function = getattr(value, "__func__", value)
                if id(function) in seen:
                    continue
                seen.add(id(function))
                if is_torchs(value):
                    if canonical(value) not in self.by_value:
                        self.not_followed.append(Unread(value, mention.file, mention.line))
                elif isinstance(function, types.FunctionType) and function not in self.order:
                    owner = getattr(value, "__self__", None)
                    if isinstance(owner, Module) and owner is not self.module:
                        continue  # another module, whose forward is read separately
                    if not is_library(function):
                        self.enter(inspect.unwrap(function), [] if owner is None else [Known(owner)], {})
                        self.enter_wrappers(function)
