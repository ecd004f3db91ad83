"""The mode in source code of Keras and Flax: what a call hands on, and whether a method asks for it itself."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from .calls import argument
from .layer_names import DROPOUTS, is_flax, layer_name
from .remembered import remembered
from .source_file import Function, SourceFile, dotted

MODES = {"training", "train", "deterministic", "is_training"}
_CHOOSES = re.compile(r"cond$|phase$", re.IGNORECASE)  # functions that run one of two branches: `tf.cond`


class ConstantMode(NamedTuple):
    """A constant that a call gives for the mode, and whether it is that of training."""

    given: ast.expr
    training: bool


def constant_mode(file: SourceFile, call: ast.Call, made: ast.Call) -> ConstantMode | None:
    """The mode that a call of a layer gives as a constant; `made` is the call that built the layer."""
    word = next((word for word in call.keywords if word.arg in MODES), None)
    given = word.value if word is not None else argument(call, 1, ()) if layer_name(file, made) in DROPOUTS else None
    if not isinstance(given, ast.Constant) or not isinstance(given.value, bool):
        return None
    switches_off = is_flax(file, made) if word is None else word.arg == "deterministic"
    return ConstantMode(given, given.value != switches_off)


def reads_mode(node: ast.AST) -> bool:
    """Whether an expression has a name or an attribute of the mode."""
    return any(_is_mode(part) for part in ast.walk(node))


def _is_mode(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id in MODES) or (isinstance(node, ast.Attribute) and node.attr in MODES)


def chosen_by_mode(file: SourceFile, node: ast.AST) -> bool:
    """Whether a condition on the mode is around a node."""
    return any(isinstance(above, ast.If | ast.IfExp) and reads_mode(above.test) for above in file.above(node))


@remembered
def conditions_ask(file: SourceFile, method: Function) -> bool:
    """Whether a condition in a method reads the mode."""
    conditions: list[ast.If | ast.IfExp] = [*file.index.within(method, ast.If), *file.index.within(method, ast.IfExp)]
    return any(reads_mode(condition.test) for condition in conditions)


@remembered
def asks_mode(file: SourceFile, method: Function) -> bool:
    """Whether a method reads the mode for itself: in a condition, in a product, as an argument of `tf.cond`."""
    found: list[ast.Name | ast.Attribute] = [
        *file.index.within(method, ast.Name),
        *file.index.within(method, ast.Attribute),
    ]
    return any(_is_mode(node) and not isinstance(node.ctx, ast.Store) and not _handed_on(file, node) for node in found)


def _handed_on(file: SourceFile, node: ast.expr) -> bool:
    """Whether the mode is an argument of a layer."""
    parent = file.parent(node)
    named = isinstance(parent, ast.keyword) and parent.arg in MODES
    call = file.parent(parent) if isinstance(parent, ast.keyword | ast.UnaryOp) else parent
    call = file.parent(call) if isinstance(call, ast.keyword) else call
    if not isinstance(call, ast.Call) or call.func is node:
        return False
    name = dotted(call.func)
    return name is None or name.startswith("self.") or (named and not _CHOOSES.search(name))
