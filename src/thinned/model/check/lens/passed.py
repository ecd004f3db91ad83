"""What a call passes to the arguments of functions of the file, by `f(a)`, `partial(f, a)`, `reduce(f, a)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from .remembered import remembered
from .source_file import Function, SourceFile, arguments, dotted

_BOUND = {"functools.partial", "functools.partialmethod"}
_EACH = {"map", "filter", "itertools.starmap"}  # they call their first argument with elements of the others
Passed = tuple[str, ast.AST, ast.expr, bool]  # argument, function, value, and whether it is an element of the value


def passed(file: SourceFile, call: ast.Call) -> Iterator[Passed]:
    """What a call passes, directly or by way of another function, where the function is written in this file.

    `reduce(lambda x, f: f(x), layers, x)` passes each element of `layers` as `f`.
    """
    name, given = file.resolve(call.func) or "", call.args
    function = own(file, call.func)
    if function is not None:
        yield from _placed(function, given, call.keywords, bound=isinstance(call.func, ast.Attribute))
    if not given:
        return
    function = own(file, given[0])
    if function is None:
        return
    if name in _BOUND:
        bound = isinstance(given[0], ast.Attribute) or name.endswith("method")
        yield from _placed(function, given[1:], call.keywords, bound=bound)
        return
    names = [argument.arg for argument in arguments(function)]
    if name == "functools.reduce" and len(given) > 1 and len(names) > 1:
        yield names[1], function, given[1], True
    elif name in _EACH:
        for argument, value in zip(names, given[1:], strict=False):
            yield argument, function, value, True


def _placed(
    function: Function | ast.Lambda, given: Sequence[ast.expr], words: Sequence[ast.keyword], bound: bool
) -> Iterator[Passed]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    if bound and names[:1] in (["self"], ["cls"]):
        names = names[1:]
    for name, value in zip(names, given, strict=False):
        if isinstance(value, ast.Starred):
            break
        yield name, function, value, False
    declared = {argument.arg for argument in arguments(function)}
    for word in words:
        if word.arg in declared:
            yield word.arg, function, word.value, False


def own(file: SourceFile, node: ast.expr) -> Function | ast.Lambda | None:
    """The one function of this file that an expression names, `f` or `self.f`, or is: a lambda."""
    if isinstance(node, ast.Lambda):
        return node
    name = dotted(node)
    if name is None:
        return None
    first, _, rest = name.partition(".")
    if rest and (first not in ("self", "cls") or "." in rest):
        return None
    found = [each for each in _by_name(file).get(rest or first, []) if bool(rest) <= _is_method(file, each)]
    return found[0] if len(found) == 1 else None


@remembered
def _by_name(file: SourceFile) -> dict[str, list[Function]]:
    found: dict[str, list[Function]] = {}
    for function in file.functions:
        found.setdefault(function.name, []).append(function)
    return found


def _is_method(file: SourceFile, function: Function) -> bool:
    return isinstance(next(file.above(function)), ast.ClassDef)
