"""Finds out from source code whether a value, or the running of a line, depends on the mode: training or eval."""

from __future__ import annotations

import ast
import math
import re
from bisect import bisect_left
from collections.abc import Iterator

from .calls import number
from .classes import family, is_fixed, is_module
from .remembered import remembered
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

# Words for the mode: `phase == "train"`, `split in ("val", "test")`.
_WORDS = {"train", "training", "fit", "eval", "evaluation", "val", "valid", "validation", "test", "infer", "inference"}
# Names of functions that run in training only: `training_step`, `forward_train`.
_TRAINS_BY_NAME = re.compile(r"(^|_)(train|training)(_|$)")

_LEAVES = (ast.Return, ast.Raise, ast.Continue)

CONSTANT, MODE, UNKNOWN = "constant", "mode", "unknown"


@remembered
def asks(file: SourceFile, node: ast.AST) -> bool:
    """Whether an expression contains a name for the mode, or compares something with a word for the mode.

    `self.train` is no name for the mode where it is the module's method: a method is true in both modes.

    >>> file = SourceFile("net.py", "p if self.training else 0\\nself.p\\nphase == 'train'")
    >>> [asks(file, statement) for statement in file.tree.body]
    [True, False, True]
    """
    return any(
        (isinstance(part, ast.Name) and _MODE.search(part.id.lower()) is not None)
        or (
            isinstance(part, ast.Attribute)
            and _MODE.search(part.attr.lower()) is not None
            and not is_mode_method(file, part)
        )
        or (isinstance(part, ast.Compare) and any(map(_is_word, ast.walk(part))))
        for part in ast.walk(node)
    )


def _is_word(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() in _WORDS


def is_mode_method(file: SourceFile, node: ast.Attribute) -> bool:
    """Whether an expression is the method `train` or `eval` of a module, not called: `p if self.train else 0`.

    An attribute of that name, which the class or an ancestor in this file assigns or defines as a property, is none.
    """
    if node.attr not in ("train", "eval") or dotted(node) != f"self.{node.attr}":
        return False
    found = file.method(node)
    call = next(file.above(node), None)
    if found is None or not is_module(file, found[0]) or (isinstance(call, ast.Call) and call.func is node):
        return False
    return not any(_has_own(file, cls, node.attr) for cls in family(file, found[0]))


@remembered
def _has_own(file: SourceFile, cls: ast.ClassDef, name: str) -> bool:
    """Whether a class has an attribute of its own of this name, which is no plain method."""
    if any(
        isinstance(part.ctx, ast.Store) and dotted(part) == f"self.{name}"
        for part in file.index.within(cls, (ast.Attribute, name))
    ):
        return True
    if any(part.name == name and part.decorator_list for part in file.functions_in(cls)):
        return True
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for member in cls.body
        for node in ast.walk(member)
        if not isinstance(member, Function)
    )


def guarded(file: SourceFile, node: ast.AST) -> bool:
    """Whether the node may run in one mode only: in a branch on the mode, or after one that may leave the function.

    A function whose name says that it trains runs in training only.
    """
    for above in file.above(node):  # none for an expression that is made, and has no line
        if _asked(file, above):
            return True
        if isinstance(above, Function) and (
            _TRAINS_BY_NAME.search(above.name) or file.position(node)[0] > _first_leaving(file, above)
        ):
            return True
    return False


@remembered
def _asked(file: SourceFile, above: ast.AST) -> bool:
    """Whether the mode decides whether what a node contains is run."""
    return any(asks(file, test) for test in _tests(above))


def _tests(node: ast.AST) -> list[ast.expr]:
    """The expressions that decide whether what a node contains is run."""
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) | ast.Match(subject=test):
            return [test]
        case ast.BoolOp(values=parts):
            return parts
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            return [test for generator in node.generators for test in generator.ifs]
    return []


def in_training(file: SourceFile, node: ast.AST) -> bool:
    """Whether the node runs in training: it is in no branch on the mode, or in branches for training only."""
    below, around = node, set(file.above(node))
    line = node.lineno  # type: ignore[attr-defined]
    for above in file.above(node):
        if isinstance(above, ast.If | ast.IfExp | ast.While) and asks(file, above.test):
            body = above.body if isinstance(above.body, list) else [above.body]
            if below is above.test or not _means_training(file, above.test, below in body):
                return False
        if isinstance(above, ast.BoolOp) and any(asks(file, value) for value in above.values):
            return False
        if isinstance(above, Function):
            # Of the branches before the node: all but those around it, of which the test is looked at by itself.
            lines = _leaving_evaluation(file, above)
            before = bisect_left(lines, line)
            before -= sum(
                isinstance(branch, ast.If | ast.Assert)
                and branch.lineno < line
                and asks(file, branch.test)
                and branch in _leaving(file, above).get(branch.lineno, ())
                and not _leaves_training(file, branch)
                for branch in around
            )
            if before:
                return False
        below = above
    return True


def _leaves_training(file: SourceFile, branch: ast.If | ast.Assert) -> bool:
    """Whether what comes after a branch that may leave, or after an `assert`, is known to run in training."""
    if isinstance(branch, ast.Assert):
        return _means_training(file, branch.test, True)
    return not branch.orelse and _means_training(file, branch.test, False)


def _means_training(file: SourceFile, test: ast.expr, holds: bool) -> bool:
    """Whether a test on the mode is known to mean training, if its result is `holds`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _means_training(file, test.operand, not holds)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) == holds:
        return all(_means_training(file, value, holds) for value in test.values if asks(file, value))
    name = (dotted(test) or "").rpartition(".")[2].lower()
    return bool((_TRAINS if holds else _EVALUATES).fullmatch(name))


@remembered
def _leaving(file: SourceFile, function: Function) -> dict[int, list[ast.If | ast.Assert]]:
    """By line: the `if`s on the mode that contain a `return`, `raise` or `continue`, and the `assert`s on it."""
    found: dict[int, list[ast.If | ast.Assert]] = {}
    branches: list[ast.If | ast.Assert] = [
        *(branch for branch in file.index.within(function, ast.If) if file.index.has(branch, *_LEAVES)),
        *file.index.within(function, ast.Assert),
    ]
    for branch in branches:
        if _asks_or_holds(file, function, branch.test):
            found.setdefault(branch.lineno, []).append(branch)
    return found


@remembered
def _first_leaving(file: SourceFile, function: Function) -> float:
    """The line of the first of them; infinity if there is none."""
    return min(_leaving(file, function), default=math.inf)


@remembered
def _leaving_evaluation(file: SourceFile, function: Function) -> list[int]:
    """The lines of those of them after which it is not known that the function trains, in order."""
    branches = (branch for found in _leaving(file, function).values() for branch in found)
    return sorted(branch.lineno for branch in branches if not _leaves_training(file, branch))


def _asks_or_holds(file: SourceFile, function: Function, test: ast.expr) -> bool:
    """Whether a test contains a name for the mode, or a local name that was computed from one."""
    names = {name.id for name in file.index.within(test, ast.Name)}
    return asks(file, test) or any(_holds(file, function, name) for name in names)


@remembered
def _holds(file: SourceFile, function: Function, name: str) -> bool:
    """Whether a value of a local name contains a name for the mode."""
    return any(asks(file, value) for value in values(file, function, name) if value is not None)


@remembered
def values(file: SourceFile, function: Function, name: str) -> list[ast.expr | None]:
    """The expressions that a function assigns to a local name; None for assignments of other kinds, as by a loop."""
    given = _given(file, function)
    names = file.index.within(function, (ast.Name, name))
    return [given.get(node) for node in names if isinstance(node.ctx, ast.Store)]


@remembered
def _given(file: SourceFile, function: Function) -> dict[ast.AST, ast.expr | None]:
    """The value of each target of an assignment in a function."""
    found: dict[ast.AST, ast.expr | None] = {}
    for node in file.index.within(function, ast.Assign):
        found.update((target, node.value) for target in node.targets)
    found.update((node.target, node.value) for node in file.index.within(function, ast.AnnAssign))
    found.update((node.target, node.value) for node in file.index.within(function, ast.NamedExpr))
    return found


def depends(file: SourceFile, node: ast.expr, seen: frozenset[str] = frozenset()) -> str:
    """Whether a value is the same in both modes (CONSTANT), depends on the mode (MODE), or is UNKNOWN.

    Simple assignments in the functions around the node are followed, and attributes that only `__init__` sets.
    """
    if isinstance(node, ast.Constant):
        return CONSTANT
    if isinstance(node, ast.IfExp):
        return _choice(file, node, seen)
    if asks(file, node):
        return MODE
    if isinstance(node, ast.Name):
        return _name(file, node, seen)
    if isinstance(node, ast.Attribute):
        return _attribute(file, node)
    if isinstance(node, ast.NamedExpr):
        return depends(file, node.value, seen)
    if isinstance(node, ast.BoolOp):
        return _together(depends(file, part, seen) for part in node.values)
    if isinstance(node, ast.Compare):
        return _together(depends(file, part, seen) for part in (node.left, *node.comparators))
    if isinstance(node, ast.BinOp):
        return _together(depends(file, part, seen) for part in (node.left, node.right))
    if isinstance(node, ast.UnaryOp):
        return depends(file, node.operand, seen)
    if isinstance(node, ast.Call) and dotted(node.func) in ("float", "max", "min") and node.args and not node.keywords:
        return _together(depends(file, part, seen) for part in node.args)
    return UNKNOWN


def builds(function: Function) -> bool:
    """Whether a function is a constructor, whose arguments are fixed when the module is built."""
    return function.name in ("__init__", "__post_init__")


def told_at_construction(file: SourceFile, call: ast.Call, value: ast.expr) -> bool:
    """Whether an argument of a call asks for the mode in the constructor, and so has the mode of that moment for ever.

    The value may stand in `functools.partial` there: `self.drop = partial(F.dropout, training=self.training)`.
    """
    where = file.function(value)
    return where is not None and builds(where) and where is not file.function(call) and asks(file, value)


def _choice(file: SourceFile, node: ast.IfExp, seen: frozenset[str]) -> str:
    """The answer for a choice by `if`. A choice that leaves a constant rate in both modes is CONSTANT.

    In `0.5 if deep else 0.2 if self.training else 0.0`, the first rate does not depend on the mode.
    """
    test = depends(file, node.test, seen)
    if test == MODE:
        return MODE
    parts = {part: depends(file, part, seen) for part in (node.body, node.orelse)}
    if MODE in parts.values():
        return CONSTANT if any(kind == CONSTANT and number(part) != 0 for part, kind in parts.items()) else MODE
    if UNKNOWN in parts.values() or (test == UNKNOWN and any(number(part) == 0 for part in parts)):
        return UNKNOWN
    return CONSTANT


def _name(file: SourceFile, node: ast.Name, seen: frozenset[str]) -> str:
    if node.id in seen:
        return UNKNOWN
    function = file.function(node)
    return UNKNOWN if function is None else _local(file, function, node.id, seen)


@remembered
def _local(file: SourceFile, inner: Function, name: str, seen: frozenset[str]) -> str:
    """The answer for a name in a function, or in a function around it."""
    for function in (inner, *file.functions_around(inner)):
        if name in {argument.arg for argument in arguments(function)}:
            return CONSTANT if builds(function) else UNKNOWN
        found = values(file, function, name)
        if found:
            if any(value is None or guarded(file, value) for value in found):
                return MODE if any(value is not None and guarded(file, value) for value in found) else UNKNOWN
            return _together(depends(file, value, seen | {name}) for value in found if value is not None)
    return UNKNOWN


def _attribute(file: SourceFile, node: ast.Attribute) -> str:
    name = dotted(node)
    found = file.method(node)
    if name is None or found is None or not name.startswith("self."):
        return UNKNOWN
    return CONSTANT if is_mode_method(file, node) or is_fixed(file, found[0], name.split(".")[1]) else UNKNOWN


def _together(parts: Iterator[str]) -> str:
    """The answer for an expression, from the answers for its parts."""
    kinds = set(parts)
    return MODE if MODE in kinds else UNKNOWN if UNKNOWN in kinds else CONSTANT
