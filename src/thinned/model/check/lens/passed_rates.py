"""Whether a p that a function gets as an argument is the same in both modes, whoever calls it in this file."""

from __future__ import annotations

import ast

from .calls import number
from .mode import CONSTANT, depends
from .passed import passed
from .reached import one_mode
from .remembered import remembered
from .source_file import Function, SourceFile, arguments


def always_constant(file: SourceFile, name: ast.Name) -> bool:
    """Whether every call in this file gives an argument a p above 0 that no mode changes.

    The function must be called by another name than `forward`, as `self.drop(x, 0.3)` or by `functools.partialmethod`.
    False where nothing in this file calls it, or one call is in one mode only, or leaves the argument out.
    """
    for function in file.functions_around(name):
        if name.id in {argument.arg for argument in arguments(function)}:
            given = _given(file).get((function, name.id))
            return bool(given) and all(map(bool, given or ())) and not function.name.startswith("forward")
    return False


@remembered
def _given(file: SourceFile) -> dict[tuple[ast.AST, str], list[bool]]:
    """For each argument of a function: of each value that a call passes, whether it is a p above 0 in both modes."""
    found: dict[tuple[ast.AST, str], list[bool]] = {}
    for call in file.nodes(ast.Call):
        calls: dict[ast.AST, set[str]] = {}
        for argument, function, value, each in passed(file, call):
            calls.setdefault(function, set()).add(argument)
            constant = number(value) not in (None, 0.0) or depends(file, value) == CONSTANT
            kept = constant and number(value) != 0 and not each and not one_mode(file, call)
            found.setdefault((function, argument), []).append(kept)
        for function, named in calls.items():
            if isinstance(function, Function) and file.resolve(call.func) not in ("functools.partial",):
                for argument in (each.arg for each in arguments(function)):
                    if argument not in named and file.resolve(call.func) != "functools.partialmethod":
                        found.setdefault((function, argument), []).append(False)
    return found
