"""Reads the calls in a user's source: functions that drop, masks made by hand, functions that are read in turn."""

from __future__ import annotations

import ast
import functools
import inspect
import random
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy
import torch

from ..._torch import DropoutNd
from ..known.functions import FUNCTIONS, canonical
from ..known.where import Where
from .found import CALLS, Reading
from .value import UNKNOWN, BuiltDropout, Filled, Known, Random, attribute, p_of_keeping

Module = torch.nn.Module

_BUILT = {"Dropout": "dropout", "AlphaDropout": "alpha_dropout", "FeatureAlphaDropout": "feature_alpha_dropout"} | {
    f"Dropout{rank}d": f"dropout{rank}d" for rank in (1, 2, 3)
}
_FILLED = {"full", "full_like", "new_full"}
_UNIFORM = {"rand", "rand_like", "uniform", "random"}
_PYTHON = {"random", "uniform", "rand", "random_sample"}  # methods that draw, of `random` and of `numpy.random`
_ENTERED_NEVER = frozenset(sys.stdlib_module_names) | {"torch", "numpy"}


class Reader(Protocol):
    """Reads the source of a module's forward and of the functions that it calls, and collects the readings."""

    module: Module
    found: list[Reading]

    def enter(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any: ...


class CallReading:
    """The part of a `Scope` that reads calls."""

    reader: Reader
    file: str

    def value(self, node: ast.expr) -> Any:
        raise NotImplementedError

    def reading(self, function: str, line: int, p: Any, built: str = "") -> Reading:
        """The reading of a call at a line of the function that is being read."""
        return Reading(Where("", function, self.file, line), p, built)

    def mask(self, drawn: Random, p: Any) -> None:
        name = "LayerDrop" if drawn.single and drawn.function in _UNIFORM - {"random"} else drawn.function
        self.reader.found.append(self.reading(name, drawn.line, p))

    def call(self, node: ast.Call) -> Any:
        target = self.value(node.func)
        args = [UNKNOWN if isinstance(part, ast.Starred) else self.value(part) for part in node.args]
        kwargs = {word.arg: self.value(word.value) for word in node.keywords if word.arg is not None}
        for part in (*node.args, *(word.value for word in node.keywords if word.arg is None)):
            if isinstance(part, ast.Starred):
                self.value(part.value)
        line = node.func.end_lineno if isinstance(node.func, ast.Attribute) else node.func.lineno
        if isinstance(target, BuiltDropout):
            p = target.p
            self.reader.found.append(self.reading(_BUILT[target.kind], line or 0, p, target.kind))
            return UNKNOWN
        single = not node.args or (isinstance(node.args[0], ast.List | ast.Tuple) and not node.args[0].elts)
        if not isinstance(target, Known):  # a method of a tensor, most likely
            method = node.func.attr.rstrip("_") if isinstance(node.func, ast.Attribute) else ""
            return self.random_call(method, line or 0, [UNKNOWN, *args], kwargs)
        function = target.value
        if isinstance(function, functools.partial):
            args = [*map(Known, function.args), *args]
            kwargs = {**{name: Known(value) for name, value in function.keywords.items()}, **kwargs}
            function = function.func
        if isinstance(function, type):
            if function.__name__ in _BUILT and issubclass(function, DropoutNd):
                return BuiltDropout(function.__name__, args[0] if args else kwargs.get("p", Known(0.5)))
            return args[0] if function in (float, int) and args else UNKNOWN
        if _torch(function):
            return self.drops(canonical(function), line or 0, args, kwargs, single)
        if isinstance(getattr(function, "__self__", None), random.Random | numpy.random.RandomState):
            return Random("random", line or 0, True) if function.__name__ in _PYTHON else UNKNOWN
        return self.python(function, line or 0, args, kwargs)

    def drops(self, name: str, line: int, args: list[Any], kwargs: dict[str, Any], single: bool) -> Any:
        """Read a call of a torch function."""
        entry = FUNCTIONS.get(name)
        if entry is None or name not in CALLS:
            return self.random_call(name, line, args, kwargs, single)
        if entry.training is not None:
            training = entry.training.read(args, kwargs)
            if training is False or (isinstance(training, Known) and training.value is False and not training.owner):
                return UNKNOWN
        p = entry.p.read(args, kwargs)
        if name == "multi_head_attention_forward" and not (len(args) > entry.p.place or "dropout_p" in kwargs):
            p = UNKNOWN
        p = Known(p) if isinstance(p, (int, float)) else p
        self.reader.found.append(self.reading(name, line, p))
        return UNKNOWN

    def random_call(self, name: str, line: int, args: list[Any], kwargs: dict[str, Any], single: bool = False) -> Any:
        """Read a call, of a function or of a tensor's method, that may be part of a mask made by hand."""
        if name in _UNIFORM:
            return Random(name, line, single)
        if name in _FILLED:
            values = [*args[1:], *kwargs.values()]
            method = name == "new_full"
            found = kwargs.get("fill_value", values[1 if method else 0] if len(values) > method else UNKNOWN)
            return Filled(found)
        if name in ("ones", "ones_like", "new_ones"):
            return Filled(Known(1.0))
        if name == "bernoulli":
            p = kwargs.get("p", args[1] if len(args) > 1 else args[0])
            p = p.number if isinstance(p, Filled) else p
            self.reader.found.append(self.reading(name, line, p_of_keeping(p)))
        return UNKNOWN

    def python(self, function: Any, line: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Read a call of a function that is not torch's."""
        if function is getattr and len(args) > 1 and all(isinstance(value, Known) for value in args[:2]):
            found = attribute(args[0].value, args[1].value) if isinstance(args[1].value, str) else UNKNOWN
            return found if isinstance(found, Known) or len(args) < 3 else args[2]
        if function in (isinstance, hasattr, callable) and all(isinstance(value, Known) for value in args):
            try:
                return Known(function(*(value.value for value in args)))
            except TypeError:
                return UNKNOWN
        owner = getattr(function, "__self__", None)
        if getattr(function, "__name__", "") in ("get", "get_interface") and isinstance(owner, Mapping):
            if all(isinstance(value, Known) for value in args):
                return Known(function(*(value.value for value in args)))
            return UNKNOWN
        if isinstance(function, Module):
            return UNKNOWN  # a child module, whose forward is read separately
        if isinstance(owner, Module) and owner is not self.reader.module:
            return UNKNOWN
        inner = inspect.unwrap(getattr(function, "__func__", function))
        root = str(getattr(inner, "__module__", None) or "").partition(".")[0]
        if root == "thinned":
            return self.ours(inner, line, args, kwargs)
        if root in _ENTERED_NEVER:
            return UNKNOWN
        return self.reader.enter(inner, [Known(owner), *args] if owner is not None else args, kwargs)

    def ours(self, function: Any, line: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Read a call of a function of `thinned.nn`. Its reading has the name that traces give to the operator."""
        try:
            bound = inspect.signature(function).bind_partial(*args, **kwargs)
        except (TypeError, ValueError):
            return UNKNOWN
        bound.apply_defaults()
        if "p" in bound.arguments and "key" in bound.arguments:
            names = {"gaussian_dropout": "gaussian_dropout", "alpha_dropout": "alpha_dropout"}
            p = bound.arguments["p"]
            p = Known(p) if isinstance(p, (int, float)) else p
            name = names.get(function.__name__, "dropout")
            if not (isinstance(p, Known) and not p.held and p.number == 0):  # at p = 0 no operator is called
                self.reader.found.append(self.reading(name, line, p))
        return UNKNOWN


def _torch(function: Any) -> bool:
    home = getattr(function, "__module__", None) or ""
    return (
        home == "torch"
        or home.startswith("torch.")
        or (
            isinstance(function, types.BuiltinFunctionType)
            and isinstance(getattr(function, "__self__", None), type | None)
            and hasattr(torch, getattr(function, "__name__", ""))
        )
    )
