"""Reads the calls in a user's source: functions that drop, masks made by hand, functions that are read in turn."""

from __future__ import annotations

import ast
import functools
import importlib
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
from .imports import NotLoaded
from .unread import Unread, functions_in
from .value import (
    UNKNOWN,
    BuiltDropout,
    Filled,
    Known,
    OneOf,
    Random,
    RandomMethod,
    all_known,
    attribute,
    made_of,
    one_of,
    p_of_keeping,
    threshold,
)

Module = torch.nn.Module

_BUILT = {"Dropout": "dropout", "AlphaDropout": "alpha_dropout", "FeatureAlphaDropout": "feature_alpha_dropout"} | {
    f"Dropout{rank}d": f"dropout{rank}d" for rank in (1, 2, 3)
}
_FILLED = {"full", "full_like", "new_full"}
_UNIFORM = {"rand", "rand_like", "uniform", "random"}
_PYTHON = {"random", "uniform", "rand", "random_sample"}  # methods that draw, of `random` and of `numpy.random`
# Whether the numbers that are smaller are kept.
_COMPARISONS = dict.fromkeys(("ge", "gt", "greater", "greater_equal"), False)
_COMPARISONS |= dict.fromkeys(("lt", "le", "less", "less_equal"), True)
_SPACES = (torch.nn.functional, torch)  # modules with functions that drop
_ENTERED_NEVER = frozenset(sys.stdlib_module_names) | {"torch", "numpy"}


class Reader(Protocol):
    """Reads the source of a module's forward and of the functions that it calls, and collects the readings."""

    module: Module
    found: list[Reading]
    mentioned: list[Unread]
    by_value: set[str]
    order: list[Any]
    not_followed: list[Unread]
    called_modules: list[Unread]

    def enter(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any: ...

    def enter_wrappers(self, function: Any) -> None: ...


class CallReading:
    """The part of a `Scope` that reads calls."""

    reader: Reader
    file: str
    function: types.FunctionType
    names: dict[str, Any]

    def value(self, node: ast.expr) -> Any:
        raise NotImplementedError

    def evaluated(self, node: ast.expr) -> Any:
        raise NotImplementedError

    def mention(self, value: Any, line: int) -> None:
        """Note the functions that the source has as a value at a line, without a call of them there."""
        if isinstance(value, Known) and next(functions_in(value.value), None) is not None:
            self.reader.mentioned.append(Unread(value.value, self.file, line))

    def hidden(self, what: Any, line: int) -> None:
        """Note what may drop at a line, and can't be read."""
        self.reader.not_followed.append(Unread(what, self.file, line))

    def reading(self, function: str, line: int, p: Any, built: str = "") -> Reading:
        """The reading of a call at a line of the function that is being read."""
        return Reading(Where("", function, self.file, line), p, built)

    def mask(self, drawn: Random, p: Any) -> None:
        name = "LayerDrop" if drawn.single and drawn.function in _UNIFORM - {"random"} else drawn.function
        self.reader.found.append(self.reading(name, drawn.line, p))

    def call(self, node: ast.Call) -> Any:
        """Read a call. If what is called is not read, it may call the functions that it gets."""
        target = self.evaluated(node.func)
        args = [UNKNOWN if isinstance(part, ast.Starred) else self.evaluated(part) for part in node.args]
        words = {word.arg: self.evaluated(word.value) for word in node.keywords if word.arg is not None}
        before = len(self.reader.order)
        result = self.called(node, target, args, words)
        if not isinstance(result, Known) and len(self.reader.order) == before:
            for given in (*args, *words.values()):
                self.mention(given, node.lineno)
        return result

    def called(self, node: ast.Call, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if isinstance(target, Known) and isinstance(getattr(target.value, "__self__", None), str):
            args = [self.texts(part, value) for part, value in zip(node.args, args, strict=True)]
        for part in (*node.args, *(word.value for word in node.keywords if word.arg is None)):
            if isinstance(part, ast.Starred):
                self.value(part.value)
        line = node.func.end_lineno if isinstance(node.func, ast.Attribute) else node.func.lineno
        for given in (*args, *kwargs.values()):
            if isinstance(given, BuiltDropout):  # another module is to call it
                self.hidden(given.kind, line or 0)
            elif not isinstance(target, Known) and _is_space(given):
                self.hidden(given.value, line or 0)
        root = node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        known = self.names.get(root.id) if isinstance(root, ast.Name) else None
        if isinstance(known, Known) and isinstance(known.value, NotLoaded):
            self.hidden(known.value, line or 0)
        if isinstance(target, BuiltDropout):
            p = target.p
            self.reader.found.append(self.reading(_BUILT[target.kind], line or 0, p, target.kind))
            return UNKNOWN
        single = not node.args or (isinstance(node.args[0], ast.List | ast.Tuple) and not node.args[0].elts)
        if isinstance(target, OneOf):  # its method, or itself
            for kind in dict.fromkeys(map(type, target.objects)):
                if not is_library(kind):
                    self.hidden(kind, line or 0)
            return UNKNOWN
        if isinstance(target, RandomMethod) and args:
            return self.compared(target.name, target.random, args[0])
        if not isinstance(target, Known):  # a method of a tensor, most likely
            method = node.func.attr.rstrip("_") if isinstance(node.func, ast.Attribute) else ""
            return self.random_call(method, line or 0, [UNKNOWN, *args], kwargs)
        function = target.value
        if isinstance(function, functools.partial):
            node = ast.copy_location(ast.Call(ast.Constant(None), [], []), node)  # called through a value
            args = [*map(Known, function.args), *args]
            kwargs = {**{name: Known(value) for name, value in function.keywords.items()}, **kwargs}
            function = function.func
        if isinstance(kernel := getattr(function, "_init_fn", None), types.FunctionType):
            self.hidden(kernel, line or 0)  # an operator of `torch.library`, inside which no override reaches
            return UNKNOWN
        if isinstance(function, type):
            if function.__name__ in _BUILT and issubclass(function, DropoutNd):
                return BuiltDropout(function.__name__, args[0] if args else kwargs.get("p", Known(0.5)))
            return self.made(function, line or 0, args, kwargs)
        if isinstance(function, Module):
            self.reader.called_modules.append(Unread(function, self.file, line or 0))
            return UNKNOWN  # a child module, whose forward is read separately
        if is_torchs(function):
            if not isinstance(node.func, ast.Attribute | ast.Name) or getattr(node.func, "id", "") in self.names:
                self.reader.by_value.add(canonical(function))
            owner = getattr(function, "__self__", None)
            if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
                return self.reader.enter(owner.forward, [UNKNOWN, *args], kwargs)
            return self.drops(canonical(function), line or 0, args, kwargs, single)
        if isinstance(getattr(function, "__self__", None), random.Random | numpy.random.RandomState):
            if function.__name__ == "binomial" and len(args) > 1:  # 1 with probability 1 - p, as `bernoulli`
                self.reader.found.append(self.reading("random", line or 0, p_of_keeping(args[1])))
            return Random("random", line or 0, True) if function.__name__ in _PYTHON else UNKNOWN
        return self.python(function, line or 0, args, kwargs)

    def made(self, kind: type, line: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Read a call of a class."""
        if kind in (float, int) and args:
            return args[0]
        if kind is functools.partial and args and all_known((*args, *kwargs.values())):
            given = [value.value for value in args[1:]]
            return Known(functools.partial(args[0].value, *given, **{name: kwargs[name].value for name in kwargs}))
        if kind in (list, tuple, reversed, enumerate, zip):
            found = [each for given in map(one_of, args) if isinstance(given, OneOf) for each in given.objects]
            return OneOf(tuple(found)) if found else UNKNOWN
        if kind is super:
            return self.parent(args)
        if not is_library(kind):
            self.hidden(kind, line)
        return UNKNOWN

    def parent(self, args: list[Any]) -> Any:
        """What `super()` is in a method of a class; `super(Net, self)` says it itself."""
        first = self.function.__code__.co_varnames[:1]
        given = args or [self.names.get("__class__", UNKNOWN), self.names.get(first[0], UNKNOWN) if first else UNKNOWN]
        if len(given) != 2 or not all_known(given):
            return UNKNOWN
        try:
            return Known(super(given[0].value, given[1].value))
        except TypeError:
            return UNKNOWN

    def texts(self, node: ast.expr, value: Any) -> Any:
        """The value of an argument of a text's method; of a list that is written there, the tuple of its values."""
        parts = [self.evaluated(part) for part in node.elts] if isinstance(node, ast.List | ast.Tuple) else []
        return Known(tuple(part.value for part in parts)) if parts and all_known(parts) else value

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

    def compared(self, name: str, drawn: Random, other: Any) -> Any:
        """Read a comparison of random numbers by a function, as `torch.rand(n).ge(p)`, or their sum with 1 - p."""
        if name in _COMPARISONS:
            self.mask(drawn, threshold(other, _COMPARISONS[name]))
        elif name == "add":
            self.mask(drawn, p_of_keeping(other))
        return UNKNOWN

    def random_call(self, name: str, line: int, args: list[Any], kwargs: dict[str, Any], single: bool = False) -> Any:
        """Read a call, of a function or of a tensor's method, that may be part of a mask made by hand."""
        if len(args) > 1 and isinstance(args[0], Random):
            return self.compared(name, args[0], args[1])
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
        if function is getattr and len(args) > 1 and _is_space(args[0]) and not isinstance(args[1], Known):
            self.hidden(args[0].value, line)  # the name is made in the run
        if function in (eval, exec) and args:
            self.hidden(args[0].value if isinstance(args[0], Known) else torch, line)
        if function is vars and args and isinstance(args[0], Known):
            return attribute(args[0].value, "__dict__")
        if function is importlib.import_module and args and isinstance(args[0], Known):
            return Known(sys.modules[args[0].value]) if args[0].value in sys.modules else UNKNOWN
        if function is getattr and len(args) > 1 and all(isinstance(value, Known) for value in args[:2]):
            found = attribute(args[0].value, args[1].value) if isinstance(args[1].value, str) else UNKNOWN
            return found if isinstance(found, Known) or len(args) < 3 else args[2]
        if function in (isinstance, hasattr, callable) and all(isinstance(value, Known) for value in args):
            try:
                return Known(function(*(value.value for value in args)))
            except TypeError:
                return UNKNOWN
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            return made_of(function, args)
        if function in (sorted, iter, next) and args:
            return one_of(args[0])
        if isinstance(owner, Mapping) and getattr(function, "__name__", "") in ("values", "items"):
            return one_of(Known([*owner.values()]))
        if getattr(function, "__name__", "") in ("get", "get_interface") and isinstance(owner, Mapping):
            if all(isinstance(value, Known) for value in args):
                return Known(function(*(value.value for value in args)))
            return UNKNOWN
        if isinstance(owner, Module) and owner is not self.reader.module:
            return UNKNOWN
        outer = getattr(function, "__func__", function)
        if not isinstance(outer, types.FunctionType) and isinstance(type(outer).__call__, types.FunctionType):
            owner, outer = function, type(outer).__call__  # an object that is called
        inner = inspect.unwrap(outer)
        root = str(getattr(inner, "__module__", None) or "").partition(".")[0]
        if root == "thinned":
            return self.ours(inner, line, args, kwargs)
        if root in _ENTERED_NEVER:
            return UNKNOWN
        returned = self.reader.enter(inner, [Known(owner), *args] if owner is not None else args, kwargs)
        self.reader.enter_wrappers(outer)
        return returned

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


def _is_space(value: Any) -> bool:
    """Whether a value is a module of torch that has functions that drop."""
    return isinstance(value, Known) and any(value.value is space for space in _SPACES)


def is_library(function: Any) -> bool:
    """Whether a function or class is written in torch, in NumPy or in the standard library, whoever it stands for."""
    home = getattr(function, "__globals__", {}).get("__name__") or getattr(function, "__module__", None)
    return str(home or "").partition(".")[0] in _ENTERED_NEVER | {"thinned"}


def is_torchs(function: Any) -> bool:
    """Whether a function is one of torch's."""
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
