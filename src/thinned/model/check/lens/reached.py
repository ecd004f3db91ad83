"""Finds out whether a function or a module of a file is reached in one mode only, because its callers ask the mode."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from .calls import DELIBERATE
from .classes import acts_as_module, family, is_forward, is_module, module_method, own_name
from .mode import guarded
from .remembered import remembered
from .source_file import Function, SourceFile, dotted


def one_mode(file: SourceFile, node: ast.AST) -> bool:
    """Whether a node runs in one mode only, as far as this file shows.

    It is in a branch on the mode itself; or every use of its function is: of a method by `self.name`, of a function by
    its name. Of a module's forward, every call of the attributes that hold the module counts. A function that this
    file never uses may be called by anybody.
    """
    return guarded(file, node) or any(_within_one_mode(file, group) for group in _groups(file, node))


def running_method(file: SourceFile, node: ast.AST) -> tuple[ast.ClassDef, Function] | None:
    """The module class and the method that run a node: those around it, or those that use the helper around it.

    A helper is a function outside classes, a static or class method of another class, a lambda that an assignment there
    or in a class names, or one that a module of this file gets where it is built. None as for `module_method`, or where
    this file has no such use.
    """
    found, inside = module_method(file, node), file.method(node)
    if found is not None:
        return found
    if inside is not None:
        cls, method = inside
        return None if own_name(method) or acts_as_module(file, cls) else _using_static(file, cls, method)
    given = _module_that_gets(file, node)
    if given is not None:
        return given
    return _using_method(file, tuple(_helpers(file, node)))


@remembered
def _using_method(file: SourceFile, names: tuple[str, ...]) -> tuple[ast.ClassDef, Function] | None:
    """The first module class and method that use a helper of one of these names in both modes."""
    if any(map(DELIBERATE.search, names)):
        return None
    for kind in (ast.Name, ast.Attribute):
        for use in (use for name in dict.fromkeys(names) for use in _loaded(file, kind, name)):
            found = module_method(file, use)
            if found is not None and not one_mode(file, use):
                return found
    return None


@remembered
def _using_static(file: SourceFile, cls: ast.ClassDef, method: Function) -> tuple[ast.ClassDef, Function] | None:
    """The first module class and method that use a static or class method, as `Ops.drop`, in both modes."""
    if DELIBERATE.search(cls.name) or DELIBERATE.search(method.name):
        return None
    for use in _loaded(file, ast.Attribute, method.name):
        if dotted(use) == f"{cls.name}.{method.name}":
            found = module_method(file, use)
            if found is not None and not one_mode(file, use):
                return found
    return None


def _module_that_gets(file: SourceFile, node: ast.AST) -> tuple[ast.ClassDef, Function] | None:
    """The class and the forward of the module of this file that gets the lambda around a node: `Net(lambda x: x)`."""
    inside = False
    for above in file.above(node):
        if isinstance(above, ast.Call) and inside:
            cls = file.classes.get(dotted(above.func) or "")
            if cls is None or not is_module(file, cls) or DELIBERATE.search(cls.name):
                return None
            methods = (part for part in cls.body if isinstance(part, Function))
            forward = next((part for part in methods if is_forward(part)), None)
            return None if forward is None else (cls, forward)
        if not isinstance(above, ast.Lambda | ast.keyword | ast.Call | ast.BinOp):
            return None
        inside = inside or isinstance(above, ast.Lambda)
    return None


def _helpers(file: SourceFile, node: ast.AST) -> list[str]:
    """The names of the functions around a node, and of the lambda around it that the file gives a name."""
    found, inside = [], False
    for above in file.above(node):
        if isinstance(above, Function):
            found.append(above.name)
        elif isinstance(above, ast.Assign) and inside:
            found += [target.id for target in above.targets if isinstance(target, ast.Name)]
        inside = inside or isinstance(above, ast.Lambda)
    return found


# What has the same uses: a class, by its forward; a method that extends another; functions and methods of one name.
_Group = ast.ClassDef | Function | tuple[bool, str]


def _groups(file: SourceFile, node: ast.AST) -> list[_Group]:
    """The functions around a node, each as the group to which it belongs."""
    return [_group(file, function) for function in file.functions_around(node)]


@remembered
def _group(file: SourceFile, function: Function) -> _Group:
    above = next(file.above(function))
    if not isinstance(above, ast.ClassDef):
        return False, function.name
    if is_forward(function):
        return above
    inside = file.index.within(function, (ast.Attribute, function.name))
    extends = any(_extends(file, node, function) for node in inside)
    return function if extends and not _own_uses(file, function.name) else (True, function.name)


def _within_one_mode(file: SourceFile, group: _Group) -> bool:
    """Whether a group has uses, all of which are in a branch on the mode, or in a group of which this holds."""
    known = _known(file)
    if group not in known:
        _settle(file, group, known)
    return known[group]


@remembered
def _known(_: SourceFile) -> dict[_Group, bool]:
    """The groups that have been asked about, with those on which their answers depend."""
    return {}


def _settle(file: SourceFile, asked: _Group, known: dict[_Group, bool]) -> None:
    """Find the answer for a group and for all groups in which it is used, and in which these are."""
    free: dict[_Group, int] = {}  # how many uses of a group are not known to be in one mode; -1 if it has none at all
    inside: dict[_Group, list[tuple[ast.AST, _Group]]] = {}  # a group: the uses inside of it, and what they use
    todo = [asked]
    for group in todo:  # the list grows during the loop
        if group in free:
            continue
        uses = _uses(file, group)
        free[group] = len(uses) or -1
        for use in uses:
            around = set(_groups(file, use))
            if guarded(file, use) or any(known.get(other) for other in around):
                free[group] -= 1
                continue
            for other in around - known.keys():
                inside.setdefault(other, []).append((use, group))
                todo.append(other)
    settled = set()
    todo = [group for group, count in free.items() if not count]
    known.update(dict.fromkeys(free, False))
    while todo:
        group = todo.pop()
        known[group] = True
        for use, user in inside.get(group, ()):
            if (use, user) not in settled:
                settled.add((use, user))
                free[user] -= 1
                if not free[user]:
                    todo.append(user)


@remembered
def _uses(file: SourceFile, group: _Group) -> list[ast.AST]:
    """Where a group is used; for a module's forward, where the module is called. Empty if that is not known."""
    if isinstance(group, ast.ClassDef):
        return _calls(file, group) if is_module(file, group) else []
    if isinstance(group, Function):
        return [node for node in _loaded(file, ast.Attribute, group.name) if not _extends(file, node, group)]
    is_method, name = group
    return _own_uses(file, name) or _loaded(file, ast.Attribute, name) if is_method else _loaded(file, ast.Name, name)


@remembered
def _own_uses(file: SourceFile, name: str) -> list[ast.AST]:
    """The uses of a method as `self.name`."""
    return [node for node in _loaded(file, ast.Attribute, name) if dotted(node) == f"self.{name}"]


@remembered
def _loaded(file: SourceFile, kind: type[ast.Name | ast.Attribute], name: str) -> list[Any]:
    """The names or attributes of a file that are called so, and are not assigned."""
    return [node for node in file.index.within(file.tree, (kind, name)) if isinstance(node.ctx, ast.Load)]


def _extends(file: SourceFile, node: ast.Attribute, function: Function) -> bool:
    """Whether a use is the function's own call of the method that it extends: `super().name`."""
    return isinstance(node.value, ast.Call) and dotted(node.value.func) == "super" and function in file.above(node)


def _calls(file: SourceFile, cls: ast.ClassDef) -> list[ast.AST]:
    """The calls of the attributes that hold a module of this class. Empty if it is held, or derived from, elsewhere."""
    found: list[ast.AST] = []
    for name in _loaded(file, ast.Name, cls.name):
        call = next(file.above(name))
        statement = next(file.above(call), None)
        owner = file.method(call)
        if not isinstance(call, ast.Call) or call.func is not name or owner is None:
            return []
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return []
        target = dotted(statement.targets[0]) or ""
        if not target.startswith("self."):
            return []
        uses = _loads(file, family(file, owner[0]), target)
        if any(not _is_called(file, use) for use in uses):
            return []
        found += uses
    return found


def _loads(file: SourceFile, classes: Iterable[ast.ClassDef], name: str) -> list[ast.AST]:
    return [
        node
        for cls in classes
        for node in file.index.within(cls, (ast.Attribute, name.rpartition(".")[2]))
        if isinstance(node.ctx, ast.Load) and dotted(node) == name
    ]


def _is_called(file: SourceFile, node: ast.AST) -> bool:
    call = next(file.above(node), None)
    return isinstance(call, ast.Call) and call.func is node
