"""Evaluates expressions in a user's source, as far as their values are known without running it."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from .call import CallReading
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
    compared,
    computed,
    item,
    made_of,
    one,
    one_of,
    p_of_keeping,
    plain,
    threshold,
)


class Expressions(CallReading):
    """The part of a `Scope` that evaluates expressions."""

    function: Any
    names: dict[str, Any]

    def quiet(self, node: ast.expr) -> Any:
        """The value of a constant, a name or an attribute; calls are not read."""
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

    def inside(self, arguments: ast.arguments) -> Any:
        """The scope of a function that is defined here; what it will get as arguments is not known."""
        raise NotImplementedError

    def value(self, node: ast.expr) -> Any:
        """The value of an expression. A function that is one is noted: other code may call it."""
        result = self.evaluated(node)
        self.mention(result, node.lineno)
        return result

    def evaluated(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant() | ast.Name():
                return self.quiet(node)
            case ast.Attribute(value=inner):
                base = self.evaluated(inner)
                if isinstance(base, Known) and not isinstance(base.value, torch.Tensor):
                    return self.attribute_of(base.value, node)
                if isinstance(base, Random):
                    return RandomMethod(base, node.attr.rstrip("_"))
                return base if isinstance(base, OneOf) else UNKNOWN
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.either(test, body, orelse)
            case ast.NamedExpr(target=target, value=inner):
                self.names[target.id] = result = self.value(inner)
                return result
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                result = self.value(inner)
                return Known(not result.value) if isinstance(result, Known) and plain(result.value) else UNKNOWN
            case ast.BinOp(left=left, op=ast.Mod(), right=right) if isinstance(text := self.evaluated(left), Known):
                given = self.texts(right, self.value(right))
                return made_of(text.value.__mod__, [given]) if isinstance(text.value, str) else UNKNOWN
            case ast.BinOp(left=left, op=operator, right=right):
                return self.arithmetic(operator, self.value(left), self.value(right))
            case ast.Compare(left=left, ops=operators, comparators=others):
                values = [self.value(part) for part in (left, *others)]
                return self.compare(operators, values)
            case ast.BoolOp(op=operator, values=parts):
                values = [self.value(part) for part in parts]
                if all(isinstance(value, Known) and plain(value.value) for value in values):
                    combine = all if isinstance(operator, ast.And) else any
                    return Known(combine(bool(value.value) for value in values))
                return UNKNOWN
            case ast.Call():
                return self.call(node)
            case ast.Subscript(value=inner, slice=place):
                base, key = self.evaluated(inner), self.value(place)
                if isinstance(base, Known) and isinstance(key, Known):
                    return item(base.value, key.value)
                self.mention(base, node.lineno)
                return one_of(base)
            case ast.Lambda(args=arguments, body=body):
                self.inside(arguments).value(body)
                return UNKNOWN
            case ast.JoinedStr(values=parts):
                values = [self.value(part) for part in parts]
                known = all_known(values) and all(plain(value.value) for value in values)
                return Known("".join(str(value.value) for value in values)) if known else UNKNOWN
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return self.value(inner)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                for generator in node.generators:
                    self.assign(generator.target, generator.iter, one_of(self.value(generator.iter)))
                for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
                    self.value(part)
                return UNKNOWN
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr) and isinstance(built := self.value(child), BuiltDropout):
                        self.hidden(built.kind, child.lineno)  # in a list, or wherever else it may be called from
                return UNKNOWN

    def attribute_of(self, owner: Any, node: ast.Attribute) -> Any:
        """The value of an attribute. One that is computed once, at its first use, is not computed here."""
        static = inspect.getattr_static(type(owner), node.attr, None)
        if isinstance(static, functools.cached_property) and node.attr not in vars(owner):
            self.hidden(static.func, node.lineno)
            return UNKNOWN
        return attribute(owner, node.attr)

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
            if isinstance(operator, ast.Sub) and one(left) and right.held:
                return replace(right, complement=not right.complement)
            if isinstance(operator, ast.Mult):
                for value, other in ((left, right), (right, left)):
                    if value.name == "training" or one(value):
                        return other
            if isinstance(operator, ast.Add) and isinstance(left.value, str) and isinstance(right.value, str):
                return Known(left.value + right.value)
            numbers = [value.number if value.held else value.value for value in (left, right)]
            if all(isinstance(number, (int, float)) for number in numbers):
                return computed(operator, *numbers)
        if isinstance(operator, ast.Mult):
            for value, other in ((left, right), (right, left)):
                if isinstance(value, Filled) and one(value.number):
                    return Filled(other)
        if isinstance(operator, ast.Add):  # floor(keep + u) is 1 with probability keep
            for value, other in ((left, right), (right, left)):
                if isinstance(value, Random):
                    self.mask(value, p_of_keeping(other))
        return UNKNOWN

    def compare(self, operators: Sequence[ast.cmpop], values: Sequence[Any]) -> Any:
        if len(values) == 2:
            for value, other in (values, values[::-1]):
                if isinstance(value, Random):
                    smaller = isinstance(operators[0], ast.Lt | ast.LtE) == (value is values[0])
                    self.mask(value, threshold(other, smaller))
            first, second = values
            if isinstance(first, Known) and isinstance(second, Known):
                return compared(operators[0], first.value, second.value)
        return UNKNOWN

    def decide(self, test: ast.expr) -> bool | None:
        """The result of a test on settings; None where it depends on the mode, a number, or an unknown value."""
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
        """Whether a test of the mode alone is true in training; None for any other test."""
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
        elif isinstance(value, BuiltDropout):  # an attribute, which keeps it for another call
            self.hidden(value.kind, target.lineno)
        elif isinstance(target, ast.Tuple | ast.List):
            several = isinstance(source, ast.Tuple | ast.List) and len(source.elts) == len(target.elts)
            for place, inner in enumerate(target.elts):
                part = source.elts[place] if several else source  # type: ignore[attr-defined]
                self.assign(
                    inner, part, self.quiet(part) if several else value if isinstance(value, OneOf) else UNKNOWN
                )
