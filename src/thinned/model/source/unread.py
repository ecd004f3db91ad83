"""`Unread`: a function or class in a source that may drop and that the reading did not follow."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

_LARGEST = 512  # entries of a table that are looked at
_DEEPEST = 3  # tables in tables


@dataclass(frozen=True, slots=True)
class Unread:
    """What may drop at a line, and could not be read.

    `map(F.dropout, parts)` at line 12 of net.py is `Unread(F.dropout, "net.py", 12)`. `what` is a function, a class, or
    the module or the text that a function is looked up in at run time.
    """

    what: Any
    file: str
    line: int


def functions_in(value: Any, depth: int = 0) -> Iterator[Any]:
    """The functions that a value is or has in it: of lists, tables and partials; no modules of torch.

    >>> [f.__name__ for f in functions_in({"a": len, "b": [max, 3]})]
    ['len', 'max']
    """
    if isinstance(value, torch.nn.Module | type):
        return
    if isinstance(value, functools.partial):
        yield from functions_in(value.func, depth)
        for inner in (*value.args, *value.keywords.values()):
            yield from functions_in(inner, depth + 1)
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth < _DEEPEST and len(value) <= _LARGEST:
            for inner in [*value.values()] if isinstance(value, Mapping) else [*value]:
                yield from functions_in(inner, depth + 1)
    elif isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        yield value
