"""Which attribute a dropout call reads its p from, told from the source of a forward and the module as it stands.

The source is followed as Python would run it in training, with the live module for `self`: names and attributes are
looked up, branches on settings are taken as they are set, functions and methods are entered. What a number depends on
only at run time is unknown, and stays so.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import random
import sys
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch

from .noisy import FUNCTIONS, canonical

Module = torch.nn.Module

DEPTH = 12  # functions entered from functions
_BUILT = {"Dropout": "dropout", "AlphaDropout": "alpha_dropout", "FeatureAlphaDropout": "feature_alpha_dropout"} | {
    f"Dropout{rank}d": f"dropout{rank}d" for rank in (1, 2, 3)
}
_FILLED = {"full", "full_like", "new_full"}
_UNIFORM = {"rand", "rand_like", "uniform", "random"}
_PYTHON = {"random", "uniform", "rand", "random_sample"}  # of Python's own generators, and NumPy's
_KEPT = ("keep", "surviv", "retain")  # in the name of an attribute that holds 1 - p
_ENTERED_NEVER = frozenset(sys.stdlib_module_names) | {"torch", "numpy"}


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
class Built:
    """A dropout module that the forward makes itself."""

    kind: str
    p: Any


class _Unknown:
    pass


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Reading:
    """A call that drops, as the source has it."""

    function: str
    file: str
    line: int
    p: Any  # Known, or UNKNOWN
    built: str = ""  # the class of a module made in the forward

    @property
    def mask(self) -> bool:
        """Whether it is a mask made by hand, which no argument of p belongs to."""
        return self.function not in FUNCTIONS

    @property
    def holder(self) -> Known | None:
        """The attribute that p is read from."""
        return self.p if isinstance(self.p, Known) and self.p.held else None

    @property
    def number(self) -> float | None:
        return self.p.number if isinstance(self.p, Known) else None


def is_number(value: Any) -> bool:
    """Whether an attribute's value may be a p: a number in [0, 1], or None for no dropout."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1)


def readings(module: Module) -> list[Reading]:
    """The calls that drop in a module's own forward, in the order in which it runs; none where there is no source."""
    reader = _Reader(module)
    function = inspect.unwrap(module.__dict__.get("forward") or type(module).forward)
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):  # an object in the forward's place, which calls it
        function = inspect.unwrap(type(module).forward)
    first = [*inspect.signature(function).parameters][:1]
    reader.enter(function, [Known(module)] if first == ["self"] or "forward" not in module.__dict__ else [], {})
    once = {(found.function, found.line, found.file): found for found in reversed(reader.found)}
    return [found for found in reader.found if once.get((found.function, found.line, found.file)) is found]


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


class _Reader:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.found: list[Reading] = []
        self.stack: list[types.FunctionType] = []

    def enter(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Follow a Python function's body, and answer what it returns as far as that is known."""
        if not isinstance(function, types.FunctionType) or function in self.stack or len(self.stack) == DEPTH:
            return UNKNOWN
        known = _definition(function)
        if known is None:
            return UNKNOWN
        node, file = known
        self.stack.append(function)
        try:
            scope = _Scope(self, function, file)
            scope.bind(node.args, args, kwargs, whole=len(self.stack) > 1)
            scope.run(node.body)
            return scope.returned
        finally:
            self.stack.pop()


class _Scope:
    """The local names of one function while it is followed."""

    def __init__(self, reader: _Reader, function: types.FunctionType, file: str) -> None:
        self.reader = reader
        self.function = function
        self.file = file
        self.names: dict[str, Any] = {}
        self.returned: Any = UNKNOWN
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                self.names[name] = Known(cell.cell_contents)
            except ValueError:  # not assigned yet
                self.names[name] = UNKNOWN

    def bind(self, arguments: ast.arguments, args: Sequence[Any], kwargs: Mapping[str, Any], whole: bool) -> None:
        """Name the arguments; `whole` says that they are all there is, and defaults count."""
        named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        only = [argument.arg for argument in arguments.kwonlyargs]
        defaults = (self.function.__defaults__ or ()) if whole else ()
        self.names |= dict.fromkeys((*named, *only), UNKNOWN)
        self.names |= {name: Known(value) for name, value in zip(named[::-1], defaults[::-1], strict=False)}
        self.names |= {name: Known(value) for name, value in (self.function.__kwdefaults__ or {}).items() if whole}
        self.names |= dict(zip(named, args, strict=False))
        self.names |= {name: value for name, value in kwargs.items() if name in named or name in only}
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                self.names[rest.arg] = UNKNOWN

    # Statements. `run` answers whether the block surely returns.

    def run(self, body: Sequence[ast.stmt]) -> bool:
        return any(self.statement(node) for node in body)

    def statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Return(value=value):
                result = self.value(value) if value is not None else UNKNOWN
                if not isinstance(self.returned, Known) or not self.returned.held:
                    self.returned = result
                return True
            case ast.Raise():
                return True
            case ast.Assign(targets=targets, value=value):
                result = self.value(value)
                for target in targets:
                    self.assign(target, value, result)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.assign(target, value, self.value(value))
            case ast.AugAssign(target=target, value=value):
                self.value(value)
                self.assign(target, value, UNKNOWN)
            case ast.If(test=test, body=body, orelse=orelse):
                return self.branch(test, body, orelse)
            case ast.For(target=target, iter=iterated, body=body, orelse=orelse):
                self.value(iterated)
                self.assign(target, iterated, UNKNOWN)
                self.run(body)
                self.run(orelse)
            case ast.While(test=test, body=body, orelse=orelse):
                self.value(test)
                self.run(body)
                self.run(orelse)
            case ast.With(items=items, body=body):
                for item in items:
                    self.value(item.context_expr)
                return self.run(body)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                returns = self.run(body)
                for handler in handlers:
                    self.run(handler.body)
                self.run(orelse)
                return self.run(final) or (returns and not handlers)
            case ast.FunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                pass
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
        return False

    def branch(self, test: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> bool:
        decided = self.decide(test)
        if decided is not None:
            return self.run(body if decided else orelse)
        self.value(test)
        before = dict(self.names)
        returns = self.run(body)
        first, self.names = self.names, before
        returns = self.run(orelse) and returns
        # Of two values for a name, the one in training; else the one that somebody holds.
        training = self.training(test)
        for name, value in first.items():
            other = self.names.get(name, UNKNOWN)
            held = isinstance(value, Known) and value.held
            if training or (training is None and (held or isinstance(other, _Unknown))):
                self.names[name] = value
        return returns

    def decide(self, test: ast.expr) -> bool | None:
        """How a test on settings comes out; None for one that asks the mode, a number, or what isn't known yet."""
        for node in ast.walk(test):
            if isinstance(node, ast.Attribute | ast.Name):
                quiet = self.quiet(node)
                if getattr(node, "attr", "") == "training" or not isinstance(quiet, Known):
                    return None
                if isinstance(quiet.value, (int, float)) and not isinstance(quiet.value, bool):
                    return None
        result = self.value(test)
        if not isinstance(result, Known):
            return None
        try:
            return bool(result.value)
        except Exception:  # a tensor of many numbers
            return None

    def training(self, test: ast.expr) -> bool | None:
        """Whether a test holds in training, where it asks for the mode and nothing else."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.training(test.operand)
            return None if inner is None else not inner
        value = self.quiet(test) if isinstance(test, ast.Attribute | ast.Name) else UNKNOWN
        if isinstance(value, Known) and value.name == "training":
            return True
        if isinstance(test, ast.Name) and test.id == "training":
            return True
        return None

    def assign(self, target: ast.expr, source: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            several = isinstance(source, ast.Tuple | ast.List) and len(source.elts) == len(target.elts)
            for place, inner in enumerate(target.elts):
                part = source.elts[place] if several else source  # type: ignore[attr-defined]
                self.assign(inner, part, self.quiet(part) if several else UNKNOWN)

    # Expressions.

    def quiet(self, node: ast.expr) -> Any:
        """A name's or attribute's value, with no call followed."""
        if isinstance(node, ast.Constant):
            return Known(node.value)
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return self.names[node.id]
            for space in (self.function.__globals__, vars(builtins)):
                if node.id in space:
                    return Known(space[node.id])
        if isinstance(node, ast.Attribute):
            base = self.quiet(node.value)
            if isinstance(base, Known) and not isinstance(base.value, torch.Tensor):
                return attribute(base.value, node.attr)
        return UNKNOWN

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant() | ast.Name():
                return self.quiet(node)
            case ast.Attribute(value=inner):
                base = self.value(inner)
                if isinstance(base, Known) and not isinstance(base.value, torch.Tensor):
                    return attribute(base.value, node.attr)
                return UNKNOWN
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.either(test, body, orelse)
            case ast.NamedExpr(target=target, value=inner):
                self.names[target.id] = result = self.value(inner)
                return result
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                result = self.value(inner)
                return Known(not result.value) if isinstance(result, Known) and _plain(result.value) else UNKNOWN
            case ast.BinOp(left=left, op=operator, right=right):
                return self.arithmetic(operator, self.value(left), self.value(right))
            case ast.Compare(left=left, ops=operators, comparators=others):
                values = [self.value(part) for part in (left, *others)]
                return self.compare(operators, values)
            case ast.BoolOp(op=operator, values=parts):
                values = [self.value(part) for part in parts]
                if all(isinstance(value, Known) and _plain(value.value) for value in values):
                    combine = all if isinstance(operator, ast.And) else any
                    return Known(combine(bool(value.value) for value in values))
                return UNKNOWN
            case ast.Call():
                return self.call(node)
            case ast.Subscript(value=inner, slice=place):
                base, key = self.value(inner), self.value(place)
                if isinstance(base, Known) and isinstance(key, Known):
                    return _item(base.value, key.value)
                return UNKNOWN
            case ast.Lambda():
                return UNKNOWN
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                for generator in node.generators:
                    self.value(generator.iter)
                    self.assign(generator.target, generator.iter, UNKNOWN)
                for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
                    self.value(part)
                return UNKNOWN
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
                return UNKNOWN

    def either(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> Any:
        decided = self.decide(test)
        if decided is not None:
            return self.value(body if decided else orelse)
        self.value(test)
        values = [self.value(body), self.value(orelse)]
        training = self.training(test)
        if training is not None:
            return values[0] if training else values[1]
        held = [value for value in values if isinstance(value, Known) and value.held]
        return held[0] if len(held) == 1 else UNKNOWN

    def arithmetic(self, operator: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, Known) and isinstance(right, Known):
            if isinstance(operator, ast.Sub) and _one(left) and right.held:
                return replace(right, complement=not right.complement)
            if isinstance(operator, ast.Mult):
                for value, other in ((left, right), (right, left)):
                    if value.name == "training" or _one(value):
                        return other
            numbers = [value.number if value.held else value.value for value in (left, right)]
            if all(isinstance(number, (int, float)) for number in numbers):
                return _computed(operator, *numbers)
        if isinstance(operator, ast.Mult):
            for value, other in ((left, right), (right, left)):
                if isinstance(value, Filled) and _one(value.number):
                    return Filled(other)
        if isinstance(operator, ast.Add):  # floor(keep + u) is 1 with probability keep
            for value, other in ((left, right), (right, left)):
                if isinstance(value, Random):
                    self.mask(value, kept(other))
        return UNKNOWN

    def compare(self, operators: Sequence[ast.cmpop], values: Sequence[Any]) -> Any:
        if len(values) == 2:
            for value, other in (values, values[::-1]):
                if isinstance(value, Random):
                    smaller = isinstance(operators[0], ast.Lt | ast.LtE) == (value is values[0])
                    self.mask(value, threshold(other, smaller))
            first, second = values
            if isinstance(first, Known) and isinstance(second, Known):
                return _compared(operators[0], first.value, second.value)
        return UNKNOWN

    def mask(self, drawn: Random, p: Any) -> None:
        name = "LayerDrop" if drawn.single and drawn.function in _UNIFORM - {"random"} else drawn.function
        self.reader.found.append(Reading(name, self.file, drawn.line, p))

    def call(self, node: ast.Call) -> Any:
        target = self.value(node.func)
        args = [UNKNOWN if isinstance(part, ast.Starred) else self.value(part) for part in node.args]
        kwargs = {word.arg: self.value(word.value) for word in node.keywords if word.arg is not None}
        for part in (*node.args, *(word.value for word in node.keywords if word.arg is None)):
            if isinstance(part, ast.Starred):
                self.value(part.value)
        line = node.func.end_lineno if isinstance(node.func, ast.Attribute) else node.func.lineno
        if isinstance(target, Built):
            p = target.p
            self.reader.found.append(Reading(_BUILT[target.kind], self.file, line or 0, p, target.kind))
            return UNKNOWN
        single = not node.args or (isinstance(node.args[0], ast.List | ast.Tuple) and not node.args[0].elts)
        if not isinstance(target, Known):  # a method of a tensor, most likely
            method = node.func.attr.rstrip("_") if isinstance(node.func, ast.Attribute) else ""
            return self.drawn(method, line or 0, [UNKNOWN, *args], kwargs)
        function = target.value
        if isinstance(function, functools.partial):
            args = [*map(Known, function.args), *args]
            kwargs = {**{name: Known(value) for name, value in function.keywords.items()}, **kwargs}
            function = function.func
        if isinstance(function, type):
            if function.__name__ in _BUILT and issubclass(function, torch.nn.modules.dropout._DropoutNd):
                return Built(function.__name__, args[0] if args else kwargs.get("p", Known(0.5)))
            return args[0] if function in (float, int) and args else UNKNOWN
        if _torch(function):
            return self.drops(canonical(function), line or 0, args, kwargs, single)
        if isinstance(getattr(function, "__self__", None), random.Random | numpy.random.RandomState):
            return Random("random", line or 0, True) if function.__name__ in _PYTHON else UNKNOWN
        return self.python(function, line or 0, args, kwargs)

    def drops(self, name: str, line: int, args: list[Any], kwargs: dict[str, Any], single: bool) -> Any:
        """A function of torch's."""
        entry = FUNCTIONS.get(name)
        if entry is None or name not in CALLS:
            return self.drawn(name, line, args, kwargs, single)
        if entry.training is not None:
            training = entry.training.read(args, kwargs)
            if training is False or (isinstance(training, Known) and training.value is False and not training.owner):
                return UNKNOWN
        p = entry.p.read(args, kwargs)
        if name == "multi_head_attention_forward" and not (len(args) > entry.p.place or "dropout_p" in kwargs):
            p = UNKNOWN
        p = Known(p) if isinstance(p, (int, float)) else p
        self.reader.found.append(Reading(name, self.file, line, p))
        return UNKNOWN

    def drawn(self, name: str, line: int, args: list[Any], kwargs: dict[str, Any], single: bool = False) -> Any:
        """What may be a mask made by hand, a function's or a method's."""
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
            self.reader.found.append(Reading(name, self.file, line, kept(p)))
        return UNKNOWN

    def python(self, function: Any, line: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Anybody else's function."""
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
            return UNKNOWN  # a child, whose places are its own
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
        """A function of `thinned.nn`, which traces know by the operator that it calls."""
        try:
            bound = inspect.signature(function).bind_partial(*args, **kwargs)
        except (TypeError, ValueError):
            return UNKNOWN
        bound.apply_defaults()
        if "p" in bound.arguments and "key" in bound.arguments:
            names = {"gaussian_dropout": "gaussian_dropout", "alpha_dropout": "alpha_dropout"}
            p = bound.arguments["p"]
            name = names.get(function.__name__, "dropout")
            self.reader.found.append(Reading(name, self.file, line, Known(p) if isinstance(p, float) else p))
        return UNKNOWN


CALLS = frozenset(FUNCTIONS) - {"stochastic_depth", "lstm", "gru", "rnn_tanh", "rnn_relu"}


def kept(value: Any) -> Any:
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


def _one(value: Any) -> bool:
    """Whether a value is the number 1, written in the code."""
    return isinstance(value, Known) and value.owner is None and type(value.value) in (int, float) and value.value == 1


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _item(container: Any, key: Any) -> Any:
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


def _computed(operator: ast.operator, left: Any, right: Any) -> Any:
    compute = _OPERATIONS.get(type(operator))
    result = UNKNOWN if compute is None else compute(left, right)
    return result if isinstance(result, _Unknown) else Known(result)


def _compared(operator: ast.cmpop, left: Any, right: Any) -> Any:
    match operator:
        case ast.Is():
            return Known(left is right)
        case ast.IsNot():
            return Known(left is not right)
    if not (_plain(left) and _plain(right)):
        return UNKNOWN
    match operator:
        case ast.Eq():
            return Known(left == right)
        case ast.NotEq():
            return Known(left != right)
    return UNKNOWN
