"""Follows a training loop through the functions of a file that it calls: does it train a model, and set its mode?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .calls import literal
from .gradients import without_gradients
from .source_file import Function, SourceFile, arguments, dotted

Loop = ast.For | ast.AsyncFor | ast.While
_DEPTH = 4  # how many functions deep a call is followed
# Methods of a model that set no mode.
_HARMLESS = {
    "parameters",
    "named_parameters",
    "state_dict",
    "load_state_dict",
    "zero_grad",
    "to",
    "cuda",
    "cpu",
    "eval",
}
_HARMLESS |= {"forward", "buffers", "modules", "named_modules", "requires_grad_"}
_LOOKS = {"print", "len", "type", "id", "isinstance"}


@dataclass(frozen=True)
class LoopPart:
    """Code that a loop runs, and the name of the model in it.

    For `for x in data: step(net, x)` and the model "net", the parts are the loop, with "net", and the function `step`,
    with the name of its first argument.
    """

    code: ast.AST
    model: str


def parts(file: SourceFile, code: ast.AST, model: str) -> list[LoopPart]:
    """The code itself, and the functions of this file that it calls."""
    found, todo = [LoopPart(code, model)], [(LoopPart(code, model), 0)]
    while todo:
        part, depth = todo.pop()
        for call in _calls(part.code):
            function = called(file, call)
            if function is None or depth == _DEPTH:
                continue
            inner = LoopPart(function, _inside(call, function, part.model))
            if inner not in found:
                found.append(inner)
                todo.append((inner, depth + 1))
    return found


def called(file: SourceFile, call: ast.Call) -> Function | None:
    """The function of this file, or the method of the class around it, that a call runs."""
    name = dotted(call.func) or ""
    if "." not in name:
        named = [node for node in file.functions if node.name == name]
        named = [node for node in named if not isinstance(next(file.above(node)), ast.ClassDef)]
        return named[0] if len(named) == 1 else None
    method = file.method(call)
    if method is None or name != f"self.{name.rpartition('.')[2]}":
        return None
    return next((node for node in method[0].body if isinstance(node, Function) and f"self.{node.name}" == name), None)


def _inside(call: ast.Call, function: Function, model: str) -> str:
    """The name that a model has inside a function that gets it, or "" if the function does not see it."""
    declared = [argument.arg for argument in arguments(function)]
    own = declared[1:] if declared[:1] == ["self"] else declared
    for name, value in zip(own, call.args, strict=False):
        if dotted(value) == model:
            return name
    for word in call.keywords:
        if dotted(word.value) == model and word.arg is not None:
            return word.arg
    return model if visible(function, model) else ""


def visible(function: Function, model: str) -> bool:
    """Whether a name means the same inside a function as outside: an attribute of `self`, or a global name."""
    first = model.partition(".")[0]
    if first == "self":
        return arguments(function)[:1] != [] and arguments(function)[0].arg == "self"
    stored = any(
        isinstance(node, ast.Name) and node.id == first and isinstance(node.ctx, ast.Store)
        for node in ast.walk(function)
    )
    return not stored and first not in {argument.arg for argument in arguments(function)}


def trains(file: SourceFile, loop: list[LoopPart]) -> bool:
    """Whether the code computes gradients of the model, and makes steps."""
    methods = {call.func.attr for part in loop for call in _calls(part.code) if isinstance(call.func, ast.Attribute)}
    return "backward" in methods and "step" in methods and any(True for _ in runs(file, loop))


def runs(file: SourceFile, loop: list[LoopPart]) -> Iterator[ast.Call]:
    """The calls of the model with gradients."""
    for part in loop:
        for call in _calls(part.code):
            name = dotted(call.func)
            if part.model and name in (part.model, f"{part.model}.forward") and not without_gradients(file, call):
                above = next(file.above(call))
                if not (isinstance(above, ast.Attribute) and above.attr == "detach"):
                    yield call


def may_undo(file: SourceFile, loop: list[LoopPart]) -> bool:
    """Whether the code sets some model to training mode, makes the model anew, or gives it to code that might."""
    for part in loop:
        for node in ast.walk(part.code):
            if isinstance(node, ast.Attribute) and node.attr in ("train", "training"):
                call = next(file.above(node))
                if node.attr == "train" and not is_off(call):
                    return True
                if isinstance(node.ctx, ast.Store):
                    return True
            if (
                isinstance(node, ast.Name | ast.Attribute)
                and dotted(node) == (part.model or None)
                and (isinstance(node.ctx, ast.Store) or not _is_plain(file, node))
            ):
                return True
    return False


def is_off(node: ast.AST) -> bool:
    """Whether a call is `train(False)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "train":
        return False
    given = [*node.args, *(word.value for word in node.keywords)]
    return bool(given) and literal(given[0], False)


def _is_plain(file: SourceFile, node: ast.expr) -> bool:
    """Whether a use of the model sets no mode, and gives it to nobody but functions that are followed."""
    above = file.above(node)
    parent = next(above)
    if isinstance(parent, ast.keyword):
        parent = next(above)
    if isinstance(parent, ast.Attribute):
        call = next(file.above(parent))
        return not (isinstance(call, ast.Call) and call.func is parent) or parent.attr in _HARMLESS or is_off(call)
    if isinstance(parent, ast.Call):
        name = file.resolve(parent.func) or ""
        return parent.func is node or called(file, parent) is not None or name in _LOOKS or name.startswith("torch.")
    return isinstance(parent, ast.Compare | ast.FormattedValue)


def _calls(code: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(code) if isinstance(node, ast.Call))
