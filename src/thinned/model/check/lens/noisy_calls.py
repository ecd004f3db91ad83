"""Finds the calls of functions that drop, under whatever name a file gives to the function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...known.functions import Noisy
from .classes import assignments, family
from .mode import values
from .remembered import remembered
from .source_file import SourceFile, dotted


class NoisyCall(NamedTuple):
    """A call of a function that drops.

    In `self.drop = partial(F.dropout, p=0.1)` and `y = self.drop(x)`, the call is `self.drop(x)`, the name is
    "torch.nn.functional.dropout", and `whole` is `F.dropout(x, p=0.1)`.
    """

    call: ast.Call
    name: str  # the qualified name of the function
    entry: Noisy
    whole: ast.Call  # the call with all its arguments, those of a `functools.partial` included


def noisy_calls(file: SourceFile, table: Mapping[str, Noisy]) -> Iterator[NoisyCall]:
    """Every call of a function of the table.

    Followed are names of imports, a local or a global name, an attribute that a class assigns, `functools.partial`, a
    choice by `if`, and a named entry of a table.
    """
    for call, name in file.calls:
        if name in table:
            yield NoisyCall(call, name, table[name], call)
    renamed = _renamed(file, table)
    for call in file.nodes(ast.Call) if renamed else ():
        if _last(call.func) not in renamed or file.resolve(call.func) in table:
            continue
        for value in _values(file, call.func.value if isinstance(call.func, ast.Subscript) else call.func):
            value = _entry(value, call.func.slice) if isinstance(call.func, ast.Subscript) else value
            found = _function(file, value, table)
            if found is not None:
                name, bound = found
                given = {word.arg for word in call.keywords}
                whole = ast.Call(
                    call.func,
                    [*(bound.args[1:] if bound else ()), *call.args],
                    [*(word for word in (bound.keywords if bound else ()) if word.arg not in given), *call.keywords],
                )
                yield NoisyCall(call, name, table[name], whole)
                break


def _renamed(file: SourceFile, table: Mapping[str, Noisy]) -> set[str]:
    """The names and attributes to which a file assigns a function of the table, itself or in an expression."""
    short = {name.rpartition(".")[2] for name in table}
    short |= {name for name, whole in file.aliases.items() if whole.rpartition(".")[2] in short}
    found = set()
    nodes: list[ast.expr] = [
        node
        for name in short
        for kind in (ast.Name, ast.Attribute)
        for node in file.index.within(file.tree, (kind, name))
    ]
    for node in nodes:
        if file.resolve(node) not in table:
            continue
        above = next(file.above(node))
        if isinstance(above, ast.Call) and above.func is node:
            continue
        statement = next((above for above in file.above(node) if isinstance(above, ast.stmt)), None)
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found |= {name for target in targets if (name := _last(target))}
    return found


def _last(node: ast.expr) -> str:
    node = node.value if isinstance(node, ast.Subscript) else node
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _values(file: SourceFile, function: ast.expr) -> Iterator[ast.expr]:
    """The expressions that a file assigns to the name or attribute that is called."""
    if isinstance(function, ast.Name):
        for around in file.functions_around(function):
            found = values(file, around, function.id)
            if found:
                yield from (value for value in found if value is not None)
                return
        yield from _assigned(file, file.tree, function.id)
        return
    name, method = dotted(function) or "", file.method(function)
    first, _, attribute = name.partition(".")
    if first != "self" or method is None or not attribute or "." in attribute:
        return
    for cls in family(file, method[0]):
        yield from (value for _, value in assignments(file, cls, attribute) if value is not None)
        yield from _assigned(file, cls, attribute)


@remembered
def _assigned(file: SourceFile, scope: ast.Module | ast.ClassDef, name: str) -> list[ast.expr]:
    """The values that the statements of a file or a class, none inside of others, assign to a name."""
    statements = (statement for statement in scope.body if isinstance(statement, ast.Assign))
    return [statement.value for statement in statements if name in map(dotted, statement.targets)]


def _entry(table: ast.expr, key: ast.expr) -> ast.expr:
    """The entry of a dictionary, list or tuple that a constant names; the table itself if there is none."""
    wanted = key.value if isinstance(key, ast.Constant) else None
    if isinstance(table, ast.Dict):
        entries = zip(table.keys, table.values, strict=True)
        return {key.value: value for key, value in entries if isinstance(key, ast.Constant)}.get(wanted, table)
    if isinstance(table, ast.List | ast.Tuple) and isinstance(wanted, int) and wanted < len(table.elts):
        return table.elts[wanted]
    return table


def _function(file: SourceFile, value: ast.expr, table: Mapping[str, Noisy]) -> tuple[str, ast.Call | None] | None:
    """The function of the table that an expression is, and the `functools.partial` that binds its arguments."""
    if isinstance(value, ast.IfExp):
        return _function(file, value.body, table) or _function(file, value.orelse, table)
    if isinstance(value, ast.Call) and value.args:
        maker = file.resolve(value.func)
        if maker == "staticmethod":
            return _function(file, value.args[0], table)
        name = file.resolve(value.args[0]) if maker == "functools.partial" else None
        return (name, value) if name is not None and name in table else None
    name = file.resolve(value)
    return (name, None) if name is not None and name in table else None
