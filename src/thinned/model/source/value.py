"""What is known of a value in somebody's source while it is followed."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

_KEPT = ("keep", "surviv", "retain")  # in the name of an attribute that holds 1 - p


@dataclass(frozen=True, slots=True)
class Known:
    """A value that is there already, and where it was read: an owner's attribute, or nowhere."""

    value: Any
    owner: Any = None
    name: str = ""
    complement: bool = False  # whether the value meant is 1 - that

    @property
    def held(self) -> bool:
        """Whether an object has the number as a plain attribute, which can be assigned."""
        if self.owner is None or isinstance(self.owner, types.ModuleType | type) or not is_number(self.value):
            return False
        where = inspect.getattr_static(type(self.owner), self.name, None)
        return not isinstance(where, property) or where.fset is not None

    @property
    def number(self) -> float | None:
        if not is_number(self.value):
            return None
        value = float(self.value or 0.0)
        return 1.0 - value if self.complement else value


@dataclass(frozen=True, slots=True)
class Random:
    """Uniform numbers, and the line that draws them; one number alone decides about a whole layer."""

    function: str
    line: int
    single: bool


@dataclass(frozen=True, slots=True)
class Filled:
    """A tensor of one number."""

    number: Any


@dataclass(frozen=True, slots=True)
class BuiltDropout:
    """A dropout module that the forward makes itself."""

    kind: str
    p: Any


class Unknown:
    pass


UNKNOWN = Unknown()


def is_number(value: Any) -> bool:
    """Whether an attribute's value may be a p: a number in [0, 1], or None for no dropout."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1)


def p_of_keeping(value: Any) -> Any:
    """p from the probability of a unit that stays: 1 minus it, unless an attribute's name says that it holds p."""
    if isinstance(value, Known) and value.held:
        return _meant(value)
    if isinstance(value, Known) and isinstance(value.value, (int, float)):
        return Known(1.0 - value.value)
    return UNKNOWN


def threshold(value: Any, smaller: bool) -> Any:
    """p from what uniform numbers are compared with; `smaller`: whether they are to be smaller."""
    if isinstance(value, Known) and value.held:
        return _meant(value)
    if isinstance(value, Known) and isinstance(value.value, (int, float)) and not smaller:
        return Known(value.value)
    return UNKNOWN


def _meant(value: Known) -> Known:
    """An attribute is what its name says: p, or 1 - p in `keep_prob` and the like."""
    return replace(value, complement=any(word in value.name.lower() for word in _KEPT))


def attribute(owner: Any, name: str) -> Any:
    """An attribute as it stands."""
    try:
        return Known(getattr(owner, name), owner, name)
    except Exception:  # a lazy attribute that can't be had
        return UNKNOWN


def one(value: Any) -> bool:
    """Whether a value is the number 1, written in the code."""
    return isinstance(value, Known) and value.owner is None and type(value.value) in (int, float) and value.value == 1


def plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def item(container: Any, key: Any) -> Any:
    if isinstance(container, Mapping | list | tuple | torch.nn.ModuleList | torch.nn.ModuleDict):
        try:
            return Known(container[key])
        except Exception:
            return UNKNOWN
    return UNKNOWN


_OPERATIONS: dict[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else UNKNOWN,
}


def computed(operator: ast.operator, left: Any, right: Any) -> Any:
    compute = _OPERATIONS.get(type(operator))
    result = UNKNOWN if compute is None else compute(left, right)
    return result if isinstance(result, Unknown) else Known(result)


def compared(operator: ast.cmpop, left: Any, right: Any) -> Any:
    match operator:
        case ast.Is():
            return Known(left is right)
        case ast.IsNot():
            return Known(left is not right)
    if not (plain(left) and plain(right)):
        return UNKNOWN
    match operator:
        case ast.Eq():
            return Known(left == right)
        case ast.NotEq():
            return Known(left != right)
    return UNKNOWN
