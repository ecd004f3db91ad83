"""Finds out from source code whether a value, or the running of a line, depends on the mode: training or eval."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .classes import is_fixed
from .source_file import Function, SourceFile, arguments, dotted

# Names that may stand for the mode. The pattern matches many names, because code that asks for the mode by an unusual
# name has no fault.
_MODE = re.compile(
    r"training|(^|_)(is_?)?train(_mode)?$|(^|_)(is_?)?(eval|test)(_mode|uate|uation|ing)?$|infer|determin|(^|_)mode$"
    r"|grad_enabled|(^|_)(do_)?sampl(e|ing)$|monte|(^|_)mc(_|$)"
)

# Names of a value that is true in training, and of a value that is true in evaluation.
_TRAINS = re.compile(r"(is_?)?train(ing)?(_mode)?")
_EVALUATES = re.compile(r"(is_?)?(eval|test|infer)(_?mode|uate|uating|uation|ing|ence)?")

CONSTANT, MODE, UNKNOWN = "constant", "mode", "unknown"


def asks(node: ast.AST) -> bool:
    """Whether an expression contains a name for the mode.

    >>> asks(ast.parse("p if self.training else 0")), asks(ast.parse("self.p"))
    (True, False)
    """
    return any(
        (isinstance(part, ast.Name) and _MODE.search(part.id.lower()) is not None)
        or (isinstance(part, ast.Attribute) and _MODE.search(part.attr.lower()) is not None)
        for part in ast.walk(node)
    )


def guarded(file: SourceFile, node: ast.AST) -> bool:
    """Whether the node may run in one mode only: in a branch on the mode, or after one that may leave the function."""
    for above in file.above(node):
        if isinstance(above, ast.If | ast.IfExp | ast.While) and asks(above.test):
            return True
        if isinstance(above, ast.BoolOp) and any(asks(value) for value in above.values):
            return True
        if isinstance(above, Function) and any(True for _ in _leaving_before(above, node)):
            return True
    return False


def in_training(file: SourceFile, node: ast.AST) -> bool:
    """Whether the node runs in training: it is in no branch on the mode, or in branches for training only."""
    below, around = node, set(file.above(node))
    for above in file.above(node):
        if isinstance(above, ast.If | ast.IfExp | ast.While) and asks(above.test):
            body = above.body if isinstance(above.body, list) else [above.body]
            if below is above.test or not _means_training(above.test, below in body):
                return False
        if isinstance(above, ast.BoolOp) and any(asks(value) for value in above.values):
            return False
        if isinstance(above, Function):
            leaving = [
                branch for branch in _leaving_before(above, node) if branch not in around or not asks(branch.test)
            ]
            if any(branch.orelse or not _means_training(branch.test, False) for branch in leaving):
                return False
        below = above
    return True


def _means_training(test: ast.expr, holds: bool) -> bool:
    """Whether a test on the mode is known to mean training, if its result is `holds`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _means_training(test.operand, not holds)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) == holds:
        return all(_means_training(value, holds) for value in test.values if asks(value))
    name = (dotted(test) or "").rpartition(".")[2].lower()
    return bool((_TRAINS if holds else _EVALUATES).fullmatch(name))


def _leaving_before(function: Function, node: ast.AST) -> Iterator[ast.If]:
    """The `if`s on the mode before a node that contain a `return`, `raise` or `continue`."""
    line = node.lineno  # type: ignore[attr-defined]
    for branch in ast.walk(function):
        if (
            isinstance(branch, ast.If)
            and branch.lineno < line
            and _asks_or_holds(function, branch.test)
            and any(isinstance(leaf, ast.Return | ast.Raise | ast.Continue) for leaf in ast.walk(branch))
        ):
            yield branch


def _asks_or_holds(function: Function, test: ast.expr) -> bool:
    """Whether a test contains a name for the mode, or a local name that was computed from one."""
    if asks(test):
        return True
    names = {name.id for name in ast.walk(test) if isinstance(name, ast.Name)}
    return any(asks(value) for name in names for value in values(function, name) if value is not None)


def values(function: Function, name: str) -> Iterator[ast.expr | None]:
    """The expressions that a function assigns to a local name; None for assignments of other kinds, as by a loop."""
    given: dict[ast.AST, ast.expr | None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            given.update((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            given[node.target] = node.value
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            yield given.get(node)


def depends(file: SourceFile, node: ast.expr, seen: frozenset[str] = frozenset()) -> str:
    """Whether a value is the same in both modes (CONSTANT), depends on the mode (MODE), or is UNKNOWN.

    Simple assignments in the functions around the node are followed, and attributes that only `__init__` sets.
    """
    if isinstance(node, ast.Constant):
        return CONSTANT
    if asks(node):
        return MODE
    if isinstance(node, ast.Name):
        return _name(file, node, seen)
    if isinstance(node, ast.Attribute):
        return _attribute(file, node)
    if isinstance(node, ast.IfExp):
        return _together(depends(file, part, seen) for part in (node.body, node.orelse))
    if isinstance(node, ast.BinOp):
        return _together(depends(file, part, seen) for part in (node.left, node.right))
    if isinstance(node, ast.UnaryOp):
        return depends(file, node.operand, seen)
    if isinstance(node, ast.Call) and dotted(node.func) in ("float", "max", "min") and node.args and not node.keywords:
        return _together(depends(file, part, seen) for part in node.args)
    return UNKNOWN


def _name(file: SourceFile, node: ast.Name, seen: frozenset[str]) -> str:
    if node.id in seen:
        return UNKNOWN
    for function in (above for above in file.above(node) if isinstance(above, Function)):
        if node.id in {argument.arg for argument in arguments(function)}:
            return UNKNOWN
        found = list(values(function, node.id))
        if found:
            if any(value is None or guarded(file, value) for value in found):
                return MODE if any(value is not None and guarded(file, value) for value in found) else UNKNOWN
            return _together(depends(file, value, seen | {node.id}) for value in found if value is not None)
    return UNKNOWN


def _attribute(file: SourceFile, node: ast.Attribute) -> str:
    name = dotted(node)
    found = file.method(node)
    if name is None or found is None or not name.startswith("self."):
        return UNKNOWN
    return CONSTANT if is_fixed(file, found[0], name.split(".")[1]) else UNKNOWN


def _together(parts: Iterator[str]) -> str:
    """The answer for an expression, from the answers for its parts."""
    kinds = set(parts)
    return MODE if MODE in kinds else UNKNOWN if UNKNOWN in kinds else CONSTANT
