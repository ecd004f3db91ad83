"""Follows a training loop through the functions of a file that it calls: does it train a model, and set its mode?"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from .by_name import calls_by_name
from .calls import literal
from .gradients import without_gradients
from .remembered import remembered
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


@remembered
def parts(file: SourceFile, code: ast.AST, model: str) -> list[LoopPart]:
    """The code itself, and the functions of this file that it calls. The list is not to be changed."""
    found, todo = {LoopPart(code, model): None}, [(LoopPart(code, model), 0)]
    while todo:
        part, depth = todo.pop()
        if depth == _DEPTH:
            continue
        for call, function in _followed(file, part.code):
            inner = LoopPart(function, _inside(file, call, function, part.model))
            if inner not in found:
                found[inner] = None
                todo.append((inner, depth + 1))
    return list(found)


@remembered
def _followed(file: SourceFile, code: ast.AST) -> list[tuple[ast.Call, Function]]:
    """The calls in code that run functions of this file, and these functions."""
    found = ((call, called(file, call)) for call in file.index.within(code, ast.Call))
    return [(call, function) for call, function in found if function is not None]


def called(file: SourceFile, call: ast.Call) -> Function | None:
    """The function of this file, or the method of the class around it, that a call runs."""
    name = dotted(call.func) or ""
    if "." not in name:
        named = _functions(file).get(name, [])
        return named[0] if len(named) == 1 else None
    method = file.method(call)
    if method is None or name != f"self.{name.rpartition('.')[2]}":
        return None
    return _methods(file, method[0]).get(name)


def callers(file: SourceFile, function: Function) -> list[ast.Call]:
    """The calls in a file that run a function of it."""
    return _callers(file).get(function, [])


@remembered
def _callers(file: SourceFile) -> dict[Function, list[ast.Call]]:
    found: dict[Function, list[ast.Call]] = {}
    for call, function in _followed(file, file.tree):
        found.setdefault(function, []).append(call)
    return found


@remembered
def _functions(file: SourceFile) -> dict[str, list[Function]]:
    """The functions of this file that are no methods, by name."""
    found: dict[str, list[Function]] = {}
    for node in file.functions:
        if not isinstance(next(file.above(node)), ast.ClassDef):
            found.setdefault(node.name, []).append(node)
    return found


@remembered
def _methods(_: SourceFile, cls: ast.ClassDef) -> dict[str, Function]:
    """The methods of a class as `self.name`; of two of one name the first."""
    return {f"self.{node.name}": node for node in reversed(cls.body) if isinstance(node, Function)}


def _inside(file: SourceFile, call: ast.Call, function: Function, model: str) -> str:
    """The name that a model has inside a function that gets it, or "" if the function does not see it."""
    declared = [argument.arg for argument in arguments(function)]
    own = declared[1:] if declared[:1] == ["self"] else declared
    for name, value in zip(own, call.args, strict=False):
        if dotted(value) == model:
            return name
    for word in call.keywords:
        if dotted(word.value) == model and word.arg is not None:
            return word.arg
    return model if visible(file, function, model) else ""


def visible(file: SourceFile, function: Function, model: str) -> bool:
    """Whether a name means the same inside a function as outside: an attribute of `self`, or a global name."""
    first = model.partition(".")[0]
    if first == "self":
        return arguments(function)[:1] != [] and arguments(function)[0].arg == "self"
    stored = any(isinstance(node.ctx, ast.Store) for node in file.index.within(function, (ast.Name, first)))
    return not stored and first not in {argument.arg for argument in arguments(function)}


@remembered
def trains(file: SourceFile, code: ast.AST, model: str) -> bool:
    """Whether code, with the functions of this file that it calls, computes gradients of the model and makes steps."""
    loop, needed = parts(file, code, model), {".backward", ".step"}
    missing = needed.difference(*(calls_by_name(file, part.code) for part in loop))
    return not missing and any(runs(file, part) for part in loop)


@remembered
def runs(file: SourceFile, part: LoopPart) -> list[ast.Call]:
    """The calls of the model with gradients."""
    calls, model = calls_by_name(file, part.code), part.model
    found = []
    for call in (*calls.get(model, ()), *calls.get(f"{model}.forward", ())) if model else ():
        above = next(file.above(call))
        detached = isinstance(above, ast.Attribute) and above.attr == "detach"
        if not detached and not without_gradients(file, call):
            found.append(call)
    return found


@remembered
def may_undo(file: SourceFile, code: ast.AST, model: str) -> bool:
    """Whether code, with the functions of this file that it calls, may put the model in training mode.

    It sets some model to training mode, makes the model anew, or gives it to other code.
    """
    loop = parts(file, code, model)
    return any(_sets_training(file, part.code) or _gives_away(file, part.code, part.model) for part in loop)


@remembered
def _sets_training(file: SourceFile, code: ast.AST) -> bool:
    """Whether code sets the training mode of some model."""
    trained, told = (file.index.within(code, (ast.Attribute, name)) for name in ("train", "training"))
    return any(isinstance(node.ctx, ast.Store) for node in (*trained, *told)) or any(
        not is_off(next(file.above(node))) for node in trained
    )


@remembered
def _gives_away(file: SourceFile, code: ast.AST, model: str) -> bool:
    """Whether code makes a model anew, or gives it to code that may change its mode. Without a name it may be any."""
    last = model.rpartition(".")[2]
    attributes = file.index.within(code, (ast.Attribute, last) if model else ast.Attribute)
    uses: list[ast.Name | ast.Attribute] = [*file.index.within(code, (ast.Name, last)), *attributes]
    return any(
        dotted(node) == (model or None) and (isinstance(node.ctx, ast.Store) or not _is_plain(file, node))
        for node in uses
    )


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
