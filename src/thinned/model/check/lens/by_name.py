"""What a scope calls, and what it assigns, by name."""

from __future__ import annotations

import ast

from .remembered import remembered
from .source_file import SourceFile, dotted


@remembered
def calls_by_name(file: SourceFile, scope: ast.AST) -> dict[str, list[ast.Call]]:
    """The calls in a scope: by what is called, `net.step`, and by the method alone, `.step`. Not to be changed."""
    found: dict[str, list[ast.Call]] = {}
    for call in file.index.within(scope, ast.Call):
        names = {dotted(call.func)}
        if isinstance(call.func, ast.Attribute):
            names.add(f".{call.func.attr}")
        for name in names:
            if name is not None:
                found.setdefault(name, []).append(call)
    return found


@remembered
def assigned(file: SourceFile, scope: ast.AST) -> dict[str | None, list[ast.expr]]:
    """The values that a scope assigns to each name. Not to be changed."""
    found: dict[str | None, list[ast.expr]] = {}
    for node in file.index.within(scope, ast.Assign):
        for name in {dotted(target) for target in node.targets}:
            found.setdefault(name, []).append(node.value)
    return found
