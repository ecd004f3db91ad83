"""Finds out whether a function or a module of a file is reached in one mode only, because its callers ask the mode."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .calls import DELIBERATE
from .classes import family, is_forward, is_module, module_method
from .mode import guarded
from .source_file import Function, SourceFile, dotted


def one_mode(file: SourceFile, node: ast.AST, seen: frozenset[ast.AST] = frozenset()) -> bool:
    """Whether a node runs in one mode only, as far as this file shows.

    It is in a branch on the mode itself; or every use of its function is: of a method by `self.name`, of a function by
    its name. Of a module's forward, every call of the attributes that hold the module counts. A function that this
    file never uses may be called by anybody.
    """
    if guarded(file, node):
        return True
    for above in file.above(node):
        if isinstance(above, Function) and above not in seen:
            uses = _uses(file, above)
            if uses and all(one_mode(file, use, seen | {above}) for use in uses):
                return True
    return False


def running_method(file: SourceFile, node: ast.AST) -> tuple[ast.ClassDef, Function] | None:
    """The module class and the method that run a node: those around it, or those that use the helper around it.

    A helper is a function outside classes, or a lambda that an assignment there or in a class names. None as for
    `module_method`, or where this file has no such use.
    """
    found = module_method(file, node)
    if found is not None or file.method(node) is not None:
        return found
    names = _helpers(file, node)
    if any(map(DELIBERATE.search, names)):
        return None
    uses: list[ast.Name | ast.Attribute] = [*file.nodes(ast.Name), *file.nodes(ast.Attribute)]
    for use in uses:
        if (use.id if isinstance(use, ast.Name) else use.attr) in names and isinstance(use.ctx, ast.Load):
            found = module_method(file, use)
            if found is not None and not one_mode(file, use):
                return found
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


def _uses(file: SourceFile, function: Function) -> list[ast.AST]:
    """Where a function is used; for a module's forward, where the module is called. Empty if that is not known."""
    above = next(file.above(function))
    if not isinstance(above, ast.ClassDef):
        return [node for node in file.nodes(ast.Name) if node.id == function.name and isinstance(node.ctx, ast.Load)]
    if is_forward(function):
        return _calls(file, above) if is_module(file, above) else []
    uses = [
        node
        for node in file.nodes(ast.Attribute)
        if node.attr == function.name and isinstance(node.ctx, ast.Load) and not _extends(file, node, function)
    ]
    own: list[ast.AST] = [node for node in uses if dotted(node) == f"self.{function.name}"]
    return own or [*uses]


def _extends(file: SourceFile, node: ast.Attribute, function: Function) -> bool:
    """Whether a use is the function's own call of the method that it extends: `super().name`."""
    return isinstance(node.value, ast.Call) and dotted(node.value.func) == "super" and function in file.above(node)


def _calls(file: SourceFile, cls: ast.ClassDef) -> list[ast.AST]:
    """The calls of the attributes that hold a module of this class. Empty if it is held, or derived from, elsewhere."""
    found: list[ast.AST] = []
    for name in (node for node in file.nodes(ast.Name) if node.id == cls.name and isinstance(node.ctx, ast.Load)):
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
        uses = _loads(family(file, owner[0]), target)
        if any(not _is_called(file, use) for use in uses):
            return []
        found += uses
    return found


def _loads(classes: Iterable[ast.ClassDef], name: str) -> list[ast.AST]:
    return [
        node
        for cls in classes
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and dotted(node) == name
    ]


def _is_called(file: SourceFile, node: ast.AST) -> bool:
    call = next(file.above(node), None)
    return isinstance(call, ast.Call) and call.func is node
