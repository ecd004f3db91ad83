"""Finds models that a source file builds and never puts in evaluation mode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .calls import argument, number
from .classes import family, is_module
from .holders import HeldModel, held
from .mode_uses import pairs, peeled
from .remembered import remembered
from .source_file import Function, SourceFile, dotted
from .training_loops import called

# Names of layers that make a network's output depend on the mode.
_SENSITIVE = re.compile(r"drop|batch_?norm|stochastic_?depth", re.IGNORECASE)
_TRANSFORMERS = {f"torch.nn.Transformer{end}" for end in ("", "EncoderLayer", "DecoderLayer")}
_FACTORIES = re.compile(r"^(timm\.create_model|torchvision\.models\.[a-z]\w*)$")
_USED = ("no_grad", "inference_mode", "set_grad_enabled", "export", "trace")
_READERS = re.compile(r"weights|get_|list_")


@remembered
def built(file: SourceFile) -> tuple[HeldModel, ...]:
    """The models that a file builds, gives to a name or an attribute, and whose mode is never set.

    A model is left out if it is passed to code that could set its mode, or if its output does not depend on the mode,
    as far as this file shows. A file that neither switches gradients off nor exports has none of interest.
    """
    return tuple(_built(file)) if file.says(*_USED) else ()


def _built(file: SourceFile) -> Iterator[HeldModel]:
    for kind in (ast.Assign, ast.AnnAssign, ast.NamedExpr):
        for assignment in file.nodes(kind):
            for target, value in pairs(assignment):
                made = peeled(file, value)
                if isinstance(made, ast.Call) and (_sensitive(file, made) or _is_loaded(file, made)):
                    found = held(file, made, target)
                    if found is not None:
                        yield found


def _is_loaded(file: SourceFile, call: ast.Call, depth: int = 3) -> bool:
    """Whether a call runs a function of this file that builds a model and returns it as it was built."""
    function = called(file, call)
    if function is None or not depth:
        return False
    return _returns_loaded(file, function, depth)


@remembered
def _returns_loaded(file: SourceFile, function: Function, depth: int) -> bool:
    """Whether a function builds a model and returns it as it was built."""
    returned = file.index.within(function, ast.Return)
    returns = [node.value for node in returned if file.function(node) is function]
    return bool(returns) and all(value is not None and _is_new(file, function, value, depth - 1) for value in returns)


def _is_new(file: SourceFile, function: Function, value: ast.expr, depth: int) -> bool:
    """Whether what a function returns is a model that it builds, in the mode in which it is built."""
    core = peeled(file, value)
    if isinstance(core, ast.Call):
        return _sensitive(file, core) or _is_loaded(file, core, depth)
    for node in _assigning(file, function):
        for target, given in pairs(node):
            made = peeled(file, given)
            if dotted(target) == dotted(core) and isinstance(target, ast.Name) and isinstance(made, ast.Call):
                new = _sensitive(file, made) or _is_loaded(file, made, depth)
                return new and held(file, made, target, returned=True) is not None
    return False


@remembered
def _assigning(file: SourceFile, function: Function) -> list[ast.AST]:
    """The assignments in a function, from the outermost inwards."""
    depth = {node: number for number, node in enumerate(ast.walk(function))}
    kinds = (ast.Assign, ast.AnnAssign, ast.NamedExpr)
    return sorted((node for kind in kinds for node in file.index.within(function, kind)), key=depth.__getitem__)


def _sensitive(file: SourceFile, call: ast.Call) -> bool:
    """Whether the call builds a model, in training mode, whose output depends on the mode."""
    name = file.resolve(call.func) or ""
    if name in file.classes and name not in file.aliases:
        return is_module(file, file.classes[name]) and _class_is_sensitive(file, name)
    if name in _TRANSFORMERS:
        return number(argument(call, None, ("dropout",))) != 0
    if name == "torch.nn.Sequential":
        return any(
            isinstance(part, ast.Call) and _SENSITIVE.search((dotted(part.func) or "").rpartition(".")[2])
            for part in ast.walk(call)
        )
    return bool(_FACTORIES.match(name)) and not _READERS.search(name.rpartition(".")[2])


@remembered
def _class_is_sensitive(file: SourceFile, name: str) -> bool:
    """Whether a class of this file, or a class that it uses, has a layer whose output depends on the mode."""
    seen, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        found = _own_layers(file, name)
        if found is True:
            return True
        todo += found or ()
    return False


@remembered
def _own_layers(file: SourceFile, name: str) -> bool | set[str]:
    """Whether a class has a layer whose output depends on the mode; if it has none, the classes that it uses.

    False also for a class that sets its own mode, or whose parameters are made by a first run without gradients.
    """
    classes = family(file, file.classes[name])
    attributes = [node for cls in classes for node in file.index.within(cls, ast.Attribute)]
    methods = [node.name for cls in classes for node in file.functions_in(cls)]
    if any(node.attr in ("eval", "train") or "Lazy" in node.attr for node in attributes) or {"eval", "train"} & {
        *methods
    }:
        return False
    names = [node.id for cls in classes for node in file.index.within(cls, ast.Name)] + [*map(dotted, attributes)]
    if any(path is not None and _SENSITIVE.search(path.rpartition(".")[2]) for path in names):
        return True
    return {path for path in names if path is not None and path in file.classes}
