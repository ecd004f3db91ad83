"""What is known of the values in a user's source while it is read."""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

_KEPT = ("keep", "surviv", "retain")  # in the names of attributes that hold the keep probability, 1 - p


@dataclass(frozen=True, slots=True)
class Known:
    """A value that is known before the source runs, and the attribute that holds it, if one does.

    `0.1` in the code is `Known(0.1)`. `self.rate` is `Known(0.1, module, "rate")` where that attribute is 0.1, and
    `1 - self.keep` is `Known(0.9, module, "keep", complement=True)` where that attribute is 0.9.
    """

    value: Any
    owner: Any = None  # the object that has the attribute
    name: str = ""  # the attribute's name
    complement: bool = False  # whether the expression has the value 1 - `value`

    @property
    def held(self) -> bool:
        """Whether an attribute that can be assigned holds the value, and the value can be a p."""
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
    """Uniform random numbers, and the call that draws them."""

    function: str
    line: int
    single: bool  # whether it is one number, which decides whether a whole layer runs


@dataclass(frozen=True, slots=True)
class RandomMethod:
    """A method of random numbers, as `.ge` in `torch.rand(n).ge(p)`."""

    random: Random
    name: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several objects, or of the same attribute of them: as `held` in `for held in self.holders`."""

    objects: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A tensor whose elements all have one value."""

    number: Any


@dataclass(frozen=True, slots=True)
class BuiltDropout:
    """A dropout module that the forward itself builds."""

    kind: str
    p: Any


class Unknown:
    pass


UNKNOWN = Unknown()  # stands for a value that only a run can give


def is_number(value: Any) -> bool:
    """Whether an attribute's value may be a p: a number in [0, 1], or None for no dropout."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1)


def p_of_keeping(value: Any) -> Any:
    """p from a keep probability: 1 - value. Where an attribute holds the value, its name tells p from 1 - p."""
    if isinstance(value, Known) and value.held:
        return _meant(value)
    if isinstance(value, Known) and isinstance(value.value, (int, float)):
        return Known(1.0 - value.value)
    return UNKNOWN


def threshold(value: Any, smaller: bool) -> Any:
    """p from the value that uniform numbers are compared with. `smaller`: the mask is true where they are smaller."""
    if isinstance(value, Known) and value.held:
        return _meant(value)
    if isinstance(value, Known) and isinstance(value.value, (int, float)) and not smaller:
        return Known(value.value)
    return UNKNOWN


def _meant(value: Known) -> Known:
    """The value of an attribute as its name says: 1 - p for `keep_prob` and similar names, p for all others."""
    return replace(value, complement=any(word in value.name.lower() for word in _KEPT))


def attribute(owner: Any, name: str) -> Any:
    """The present value of an attribute, or UNKNOWN."""
    try:
        return Known(getattr(owner, name), owner, name)
    except Exception:  # a property that fails
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


def one_of(container: Any) -> Any:
    """Any one of the objects in a list or table; UNKNOWN where these are functions, modules or plain values alone."""
    if isinstance(container, OneOf):
        return container
    if isinstance(container, Known):
        container = container.value
    if not isinstance(container, Mapping | list | tuple) or len(container) > 64:
        return UNKNOWN
    values = [*container.values()] if isinstance(container, Mapping) else [*container]
    kinds = (torch.nn.Module, torch.Tensor, type, types.FunctionType, types.MethodType, types.BuiltinFunctionType)
    objects = tuple(
        value for value in values if not plain(value) and not isinstance(value, (*kinds, functools.partial))
    )
    return OneOf(objects) if objects else UNKNOWN


def all_known(values: Iterable[Any]) -> bool:
    return all(isinstance(value, Known) for value in values)


def made_of(function: Any, values: Sequence[Any]) -> Any:
    """What a method of a text gives, such as `"".join(("drop", "out"))`, or UNKNOWN."""
    if not all_known(values):
        return UNKNOWN
    try:
        result = function(*(value.value for value in values))
    except Exception:  # an argument of another kind
        return UNKNOWN
    return Known(result) if isinstance(result, str) else UNKNOWN


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
