"""Finds models that a source file builds and never puts in evaluation mode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from .calls import argument, number
from .classes import is_module
from .source_file import SourceFile, dotted, first_call

# Names of layers that make a network's output depend on the mode.
_SENSITIVE = re.compile(r"drop|batch_?norm|stochastic_?depth", re.IGNORECASE)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module, ast.ClassDef)
_TRANSFORMERS = {f"torch.nn.Transformer{end}" for end in ("", "EncoderLayer", "DecoderLayer")}
_FACTORIES = re.compile(r"^(timm\.create_model|torchvision\.models\.[a-z]\w*)$")
_READERS = re.compile(r"weights|get_|list_")
_MOVES = {"to", "cuda", "cpu", "float", "half", "double", "bfloat16", "requires_grad_", "compile"}
_HARMLESS = _MOVES | {"load_state_dict", "state_dict", "parameters", "named_parameters", "modules", "named_modules"}
_HARMLESS |= {"children", "named_children", "buffers", "zero_grad", "forward", "register_forward_hook"}
EXPORTS = {"torch.onnx.export", "torch.export.export", "torch.jit.trace"}
_LOOKS = {"print", "len", "type", "id", "isinstance", "torch.save"}


class BuiltModel(NamedTuple):
    """A local name that holds a model in training mode, at every use in its scope."""

    name: str
    runs: list[ast.Call]  # the calls of the model
    given: list[ast.Call]  # the calls of other functions that get the model as an argument


def built(file: SourceFile) -> Iterator[BuiltModel]:
    """The local names to which a function, or the file, assigns a new model once, and whose mode is never set.

    A name is left out if the model is passed to code that could set its mode, or if its output does not depend on the
    mode, as far as this file shows.
    """
    for assignment in file.nodes(ast.Assign):
        target, (value, methods) = assignment.targets[0], first_call(assignment.value)
        if len(assignment.targets) > 1 or not isinstance(target, ast.Name):
            continue
        if not isinstance(value, ast.Call) or not _MOVES.issuperset(methods):
            continue
        above = next(above for above in file.above(assignment) if isinstance(above, _SCOPES))
        if isinstance(above, ast.ClassDef) or not _sensitive(file, value):
            continue
        scope = file.function(assignment) or file.tree
        names = [node for node in ast.walk(scope) if isinstance(node, ast.Name) and node.id == target.id]
        uses = [node for node in names if isinstance(node.ctx, ast.Load)]
        if len(names) - len(uses) == 1 and all(_leaves_mode(file, use) for use in uses):
            calls = [(use, call) for use in uses if isinstance(call := next(file.above(use)), ast.Call)]
            runs = [call for use, call in calls if call.func is use]
            yield BuiltModel(target.id, runs, [call for _, call in calls if call not in runs])


def _sensitive(file: SourceFile, call: ast.Call) -> bool:
    """Whether the call builds a model, in training mode, whose output depends on the mode."""
    name = file.resolve(call.func) or ""
    if name in file.classes and name not in file.aliases:
        return is_module(file, file.classes[name]) and _class_is_sensitive(file, name, ())
    if name in _TRANSFORMERS:
        return number(argument(call, None, ("dropout",))) != 0
    if name == "torch.nn.Sequential":
        return any(
            isinstance(part, ast.Call) and _SENSITIVE.search((dotted(part.func) or "").rpartition(".")[2])
            for part in ast.walk(call)
        )
    return bool(_FACTORIES.match(name)) and not _READERS.search(name.rpartition(".")[2])


def _class_is_sensitive(file: SourceFile, name: str, seen: tuple[str, ...]) -> bool:
    """Whether a class of this file, or a class that it uses, has a layer whose output depends on the mode."""
    cls = file.classes[name]
    names = [dotted(node) for node in ast.walk(cls) if isinstance(node, ast.Name | ast.Attribute)]
    if any(path is not None and re.fullmatch(r"self\.(eval|train)", path) for path in names):
        return False  # it sets its own mode
    if any(path is not None and _SENSITIVE.search(path.rpartition(".")[2]) for path in names):
        return True
    inner = {path for path in names if path in file.classes and path not in (*seen, name)}
    return any(_class_is_sensitive(file, path, (*seen, name)) for path in inner if path is not None)


def _leaves_mode(file: SourceFile, use: ast.Name) -> bool:
    """Whether a use of the name certainly does not change the model's mode."""
    parent = next(file.above(use))
    if isinstance(parent, ast.Attribute):
        call = next(file.above(parent))
        return parent.attr in _HARMLESS or not (isinstance(call, ast.Call) and call.func is parent)
    if isinstance(parent, ast.Call):
        name = file.resolve(parent.func) or ""
        return parent.func is use or name in _LOOKS or name in EXPORTS
    return isinstance(parent, ast.Compare)
