"""Reads the statements in a user's source as Python would run them in training."""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any

from .call import Reader
from .expression import Expressions
from .imports import imported
from .value import UNKNOWN, Known, Unknown, one_of

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, functools.partial)


class Scope(Expressions):
    """One function while it is read: the values of its local names, and of what it returns."""

    def __init__(self, reader: Reader, function: types.FunctionType, file: str) -> None:
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
        """Bind the arguments of a call. `whole`: these are all of them, so that the others have their defaults."""
        named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        only = [argument.arg for argument in arguments.kwonlyargs]
        defaults = (self.function.__defaults__ or ()) if whole else ()
        self.names |= dict.fromkeys((*named, *only), UNKNOWN)
        self.names |= {name: Known(value) for name, value in zip(named[::-1], defaults[::-1], strict=False)}
        self.names |= {name: Known(value) for name, value in (self.function.__kwdefaults__ or {}).items() if whole}
        if not whole:  # a number may be another one in each call, and a function is hardly
            given = inspect.signature(self.function).parameters.values()
            self.names |= {each.name: Known(each.default) for each in given if isinstance(each.default, _FUNCTIONS)}
        self.names |= dict(zip(named, args, strict=False))
        self.names |= {name: value for name, value in kwargs.items() if name in named or name in only}
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                self.names[rest.arg] = UNKNOWN

    def run(self, body: Sequence[ast.stmt]) -> bool:
        """Read statements up to one that always returns or raises. Returns: whether there is one."""
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
                self.assign(target, iterated, one_of(self.value(iterated)))
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
            case ast.Match(subject=subject, cases=cases):
                self.value(subject)
                for case in cases:
                    self.run(case.body)
            case ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=marks):
                for mark in marks:
                    self.value(mark)
                self.inside(arguments).run(body)  # something calls it
                self.names[name] = UNKNOWN
            case ast.ClassDef(body=body):
                for member in body:
                    if isinstance(member, ast.FunctionDef):
                        self.statement(member)
            case ast.Import() | ast.ImportFrom():
                self.imports(node)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
        return False

    def inside(self, arguments: ast.arguments) -> Scope:
        scope = Scope(self.reader, self.function, self.file)
        scope.names = dict(self.names)
        declared = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        scope.names |= {argument.arg: UNKNOWN for argument in declared if argument is not None}
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.value(default)
        return scope

    def imports(self, node: ast.Import | ast.ImportFrom) -> None:
        """Bind what a function imports. A module that nothing has loaded yet stays unknown, and is loaded by none."""
        for name, value in imported(node, self.function.__globals__).items():
            self.names[name] = UNKNOWN if value is None else Known(value)

    def branch(self, test: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> bool:
        decided = self.decide(test)
        if decided is not None:
            return self.run(body if decided else orelse)
        self.value(test)
        before = dict(self.names)
        returns = self.run(body)
        first, self.names = self.names, before
        returns = self.run(orelse) and returns
        # If the branches give a name two values, it has the one in training; else the one that an attribute holds.
        training = self.training(test)
        for name, value in first.items():
            other = self.names.get(name, UNKNOWN)
            held = isinstance(value, Known) and value.held
            if training or (training is None and (held or isinstance(other, Unknown))):
                self.names[name] = value
        return returns
