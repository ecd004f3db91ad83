"""Follows a model through a file: the names and attributes that hold it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from .classes import acts_as_module, family
from .mode_uses import leaves_mode, pairs, peeled, targets_of, whole
from .remembered import remembered
from .source_file import Function, SourceFile, arguments, dotted

_PLAIN_BASES = {"object", "abc.ABC", "typing.Protocol", "typing.Generic", "ABC", "Protocol", "Generic"}


class HeldModel(NamedTuple):
    """A model that keeps the mode in which it was built, as far as the file shows.

    In `model = Net()`, `net = model.cuda()` and `y = net(x)`, the name is "model", and `runs` has the call of `net`.
    """

    name: str  # the first name that holds it: "model", "self.model"
    runs: list[ast.Call]  # its calls
    exports: list[ast.Call]  # the calls of exports that get it


def held(file: SourceFile, made: ast.expr, target: ast.expr, *, returned: bool = False) -> HeldModel | None:
    """Follow the model that a call makes and an assignment gives to a target.

    None if a name that holds it may hold another model too, or if a use may change the mode: a call of `eval` or
    `train`, a call of a function that gets the model, or code that this reading does not understand.

    Arguments:
        returned: whether a `return` of the model is no such use, as where the calls of its function are followed too.
    """
    scopes, todo = {}, [target]
    while todo:
        name = dotted(holder := todo.pop())
        scope = _scope(file, holder)
        if name is None or scope is None:
            return None
        scopes[name] = scope
        for stored in _nodes(file, scope, name, ast.Store):
            value = _value(file, stored)
            core = None if value is None else peeled(file, value)
            nothing = isinstance(core, ast.Constant) and core.value is None
            if core is None or not (core is made or nothing or dotted(core) in scopes):
                return None
        for load in _nodes(file, scope, name, ast.Load):
            for alias in targets_of(file, whole(file, load)):
                if dotted(alias) not in (None, *scopes, *map(dotted, todo)):
                    todo.append(alias)
    found = HeldModel(dotted(target) or "", [], [])
    for name, scope in scopes.items():
        for load in _nodes(file, scope, name, ast.Load):
            returns = returned and isinstance(next(file.above(whole(file, load))), ast.Return)
            if not returns and not leaves_mode(file, load, scopes, found.runs, found.exports):
                return None
    return found


def _scope(file: SourceFile, holder: ast.expr) -> ast.AST | None:
    """Where a name is used: its function, the file, or a class. None for a name that cannot be followed."""
    if isinstance(holder, ast.Name):
        inner = next((above for above in file.above(holder) if isinstance(above, Function | ast.ClassDef)), None)
        if isinstance(inner, ast.ClassDef):
            return None
        return file.tree if inner is None or holder.id in _shared(file, inner) else inner
    found = file.method(holder)
    own = isinstance(holder, ast.Attribute) and dotted(holder) == f"self.{holder.attr}"
    return found[0] if own and found is not None and _is_service(file, found[0]) else None


@remembered
def _is_service(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether a class is no module, has only plain ancestors, and trains nothing: it holds models to use them."""
    for node in family(file, cls):
        if acts_as_module(file, node) or file.index.has(
            node, (ast.Attribute, "backward"), (ast.Attribute, "optimizer")
        ):
            return False
        for base in node.bases:
            name = file.resolve(base.value if isinstance(base, ast.Subscript) else base)
            if name not in _PLAIN_BASES and (name not in file.classes or name in file.aliases):
                return False
    return True


def _nodes(file: SourceFile, scope: ast.AST, name: str, context: type[ast.expr_context]) -> Iterator[ast.expr]:
    """The uses of a name in a scope. An attribute of a class is used everywhere, but not by `self` of other classes."""
    if not isinstance(scope, ast.ClassDef):
        for node in file.index.within(scope, (ast.Name, name)):
            if isinstance(node.ctx, context) and not _is_another(file, node, scope):
                yield node
        return
    for attribute in file.index.within(file.tree, (ast.Attribute, name.removeprefix("self."))):
        if isinstance(attribute.ctx, context):
            found = file.method(attribute)
            others = dotted(attribute) == name and found is not None and not _related(file, scope, found[0])
            if not others:
                yield attribute


def _is_another(file: SourceFile, node: ast.Name, scope: ast.AST) -> bool:
    """Whether a name belongs to a function inside a scope: an argument or a local variable of the same name."""
    for above in file.above(node):
        if above is scope:
            return False
        if isinstance(above, Function | ast.Lambda) and (
            node.id in {argument.arg for argument in arguments(above)}
            or (isinstance(above, Function) and _binds(file, above, node.id))
        ):
            return True
    return False


@remembered
def _binds(file: SourceFile, function: Function, name: str) -> bool:
    """Whether a function assigns a local variable of this name."""
    named = file.index.within(function, (ast.Name, name))
    return name not in _shared(file, function) and any(isinstance(node.ctx, ast.Store) for node in named)


@remembered
def _shared(file: SourceFile, function: Function) -> set[str]:
    """The names that a function says are those of the file, or of a function around it."""
    everywhere = {name for node in file.index.within(function, ast.Global) for name in node.names}
    return everywhere.union(*(node.names for node in file.index.within(function, ast.Nonlocal)))


def _related(file: SourceFile, one: ast.ClassDef, other: ast.ClassDef) -> bool:
    return one in family(file, other) or other in family(file, one)


def _value(file: SourceFile, stored: ast.expr) -> ast.expr | None:
    """The expression that an assignment gives to a name; None for assignments of other kinds, as by a loop."""
    for above in file.above(stored):
        if isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            return next((value for target, value in pairs(above) if target is stored), None)
        if not isinstance(above, ast.Tuple):
            return None
    return None
