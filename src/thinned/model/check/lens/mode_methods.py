"""Finds `self.train` where `self.training` is meant: a method, which is true in both modes."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from ..finding import Fix
from .classes import can_ask_mode
from .mode import is_mode_method, values
from .remembered import remembered
from .rewrite import rewritten
from .source_file import Function, SourceFile


def mode_methods(file: SourceFile, call: ast.Call, deciding: Iterable[ast.expr | None]) -> list[ast.Attribute]:
    """The uses of `self.train` or `self.eval` as a value on which a call depends.

    They stand in its arguments, in the local names of those that decide on the noise, or in branches around it.

    Arguments:
        deciding: the arguments that decide on the noise: p and the mode.
    """
    found = [node for part in (*call.args, *call.keywords) for node in _in_part(file, part)]
    function = file.function(call)
    if function is not None:
        names = {node.id for part in deciding if part is not None for node in file.index.within(part, ast.Name)}
        found += [node for name in sorted(names) for node in _in_values(file, function, name)]
    for above in file.above(call):
        if isinstance(above, ast.If | ast.IfExp | ast.While):
            found += _in_part(file, above.test)
    return found


@remembered
def _in_part(file: SourceFile, part: ast.AST) -> list[ast.Attribute]:
    """The methods of the mode in an expression."""
    return [node for node in file.index.within(part, ast.Attribute) if is_mode_method(file, node)]


@remembered
def _in_values(file: SourceFile, function: Function, name: str) -> list[ast.Attribute]:
    """The methods of the mode in the values of a local name."""
    given = values(file, function, name)
    return [node for value in given if value is not None for node in _in_part(file, value)]


def ask_training(file: SourceFile, cls: ast.ClassDef, found: list[ast.Attribute]) -> Fix | None:
    """The fix that writes `self.training` for `self.train`. None for `self.eval`, which may mean either."""
    if any(node.attr != "train" or not can_ask_mode(file, cls, node) for node in found):
        return None
    return Fix("Write `self.training`", tuple(dict.fromkeys(rewritten(file, node, "self.training") for node in found)))
