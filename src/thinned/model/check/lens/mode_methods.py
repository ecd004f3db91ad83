"""Finds `self.train` where `self.training` is meant: a method, which is true in both modes."""

from __future__ import annotations

import ast

from ..finding import Fix
from .classes import can_ask_mode
from .mode import is_mode_method, values
from .rewrite import rewritten
from .source_file import SourceFile


def mode_methods(file: SourceFile, call: ast.Call) -> list[ast.Attribute]:
    """The uses of `self.train` or `self.eval` as a value on which a call depends.

    They stand in its arguments, in the local names that its arguments are, or in branches around it.
    """
    parts: list[ast.AST] = [*call.args, *(word.value for word in call.keywords)]
    function = file.function(call)
    if function is not None:
        names = {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}
        parts += [value for name in sorted(names) for value in values(function, name) if value is not None]
    parts += [above.test for above in file.above(call) if isinstance(above, ast.If | ast.IfExp | ast.While)]
    return [
        node
        for part in parts
        for node in ast.walk(part)
        if isinstance(node, ast.Attribute) and is_mode_method(file, node)
    ]


def ask_training(file: SourceFile, cls: ast.ClassDef, found: list[ast.Attribute]) -> Fix | None:
    """The fix that writes `self.training` for `self.train`. None for `self.eval`, which may mean either."""
    if any(node.attr != "train" or not can_ask_mode(file, cls, node) for node in found):
        return None
    return Fix("Write `self.training`", tuple(dict.fromkeys(rewritten(file, node, "self.training") for node in found)))
