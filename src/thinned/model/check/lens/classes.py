"""Answers questions about the classes of a source file: which are modules, which methods run in a forward pass."""

from __future__ import annotations

import ast
import re

from .calls import DELIBERATE, number
from .remembered import remembered
from .source_file import Function, SourceFile, arguments, dotted

_MODULE = re.compile(r"(Module|PreTrainedModel)$")
_OTHER = re.compile(
    r"Function$|^(abc|typing|collections|enum)\.|(^|\.)(ABC|Protocol|Generic|object)$|tensorflow|keras|jax|flax"
)
_LAYER = re.compile(r"torch\.nn\.[A-Z]")
_FORWARD = re.compile(r"^(_*forward(_\w+)?|__call__|_\w+_forward)$")


def is_module(file: SourceFile, node: ast.ClassDef) -> bool:
    """Whether the class derives from `torch.nn.Module`, by the names of its bases and the classes of this file."""
    return node in _modules(file)


@remembered
def _modules(file: SourceFile) -> set[ast.ClassDef]:
    """The classes that do."""
    derived: dict[ast.ClassDef, list[ast.ClassDef]] = {}
    todo = []
    for node in file.nodes(ast.ClassDef):
        for name in _bases(file, node):
            if _is_own(file, name):
                derived.setdefault(file.classes[name], []).append(node)
            elif name.startswith("torch.nn.") or _MODULE.search(name):
                todo.append(node)
    found: set[ast.ClassDef] = set()
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += derived.get(node, ())
    return found


@remembered
def _mixed_in(file: SourceFile) -> set[ast.ClassDef]:
    """The classes from which modules of this file derive beside `torch.nn.Module`."""
    return {part for node in _modules(file) for part in family(file, node)}


def _is_own(file: SourceFile, name: str) -> bool:
    """Whether a name is that of a class of this file."""
    return name in file.classes and name not in file.aliases


@remembered
def acts_as_module(file: SourceFile, node: ast.ClassDef) -> bool:
    """Whether the class is a module, or probably is one: it has a `forward`, and an imported base that is not known."""
    if is_module(file, node) or node in _mixed_in(file):
        return True
    foreign = any(
        (dotted(base) or "").partition(".")[0] in file.aliases and not _OTHER.search(file.resolve(base) or "")
        for base in node.bases
    )
    return foreign and any(isinstance(member, Function) and member.name == "forward" for member in node.body)


@remembered
def _bases(file: SourceFile, node: ast.ClassDef) -> list[str]:
    """The qualified names of the class's bases."""
    names = (file.resolve(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases)
    return [name for name in names if name is not None]


def module_method(file: SourceFile, node: ast.AST) -> tuple[ast.ClassDef, Function] | None:
    """The module class and the method around a node.

    None if there is none, if the method has no `self`, or if a name around the node says that noise is drawn on
    purpose, such as "sample" or "mc".
    """
    found = file.method(node)
    if found is None:
        return None
    cls, method = found
    if not acts_as_module(file, cls) or own_name(method) is None:
        return None
    names = (cls.name, method.name, *(above.name for above in file.functions_around(node)))
    return None if any(DELIBERATE.search(name) for name in names) else found


def can_ask_mode(file: SourceFile, cls: ast.ClassDef, node: ast.expr) -> bool:
    """Whether a fix may write `self.training` into an expression: the class has it, and the text can be edited."""
    return (is_module(file, cls) or _lives_as_module(file, cls)) and file.can_edit(node)


@remembered
def _lives_as_module(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether a class with an unknown base is surely a module.

    It uses `self.training`, or it calls `super().__init__` and assigns layers of torch to attributes.
    """
    if any(dotted(node) == "self.training" for node in file.index.within(cls, (ast.Attribute, "training"))):
        return True
    starts = any(
        isinstance(node.value, ast.Call) and dotted(node.value.func) == "super"
        for node in file.index.within(cls, (ast.Attribute, "__init__"))
    )
    layers = (
        node.value.func
        for node in file.index.within(cls, ast.Assign)
        if isinstance(node.value, ast.Call)
        and any((dotted(target) or "").startswith("self.") for target in node.targets)
    )
    return starts and acts_as_module(file, cls) and any(_LAYER.match(file.resolve(layer) or "") for layer in layers)


def is_forward(method: Function) -> bool:
    """Whether the method runs at each call of the module, judged by its name."""
    return bool(_FORWARD.match(method.name))


def own_name(method: Function) -> str | None:
    """The name of the method's first argument if it is `self`; None for other methods, such as static methods."""
    if any(dotted(mark) in ("staticmethod", "classmethod") for mark in method.decorator_list):
        return None
    declared = arguments(method)
    return declared[0].arg if declared and declared[0].arg == "self" else None


@remembered
def family(file: SourceFile, cls: ast.ClassDef) -> list[ast.ClassDef]:
    """The class, and all its ancestors that are defined in this file. The list is not to be changed."""
    found: dict[ast.ClassDef, None] = {}
    todo = [cls]
    while todo:
        node = todo.pop()
        if node not in found:
            found[node] = None
            todo += [file.classes[name] for name in _bases(file, node) if _is_own(file, name)]
    return list(found)


def assignments(file: SourceFile, cls: ast.ClassDef, attribute: str) -> list[tuple[Function, ast.expr | None]]:
    """Every assignment to `self.attribute` in the class: its method, and its value; None if the value is not known."""
    return _assignments(file, cls).get(f"self.{attribute}", [])


@remembered
def _assignments(file: SourceFile, cls: ast.ClassDef) -> dict[str, list[tuple[Function, ast.expr | None]]]:
    """The assignments in the methods of a class, by the name of what they assign to."""
    found: dict[str, list[tuple[Function, ast.expr | None]]] = {}
    for method in (node for node in cls.body if isinstance(node, Function)):
        for node in file.index.within(method, ast.Assign):
            for target in node.targets:
                whole = dotted(target)
                if whole is not None:
                    found.setdefault(whole, []).append((method, node.value))
                parts = {dotted(part) for part in ast.walk(target) if isinstance(part, ast.expr)}
                for name in sorted(name for name in parts if name is not None and name != whole):
                    found.setdefault(name, []).append((method, None))
        single = [
            *((node.target, node.value) for node in file.index.within(method, ast.AnnAssign)),
            *((node.target, None) for node in file.index.within(method, ast.AugAssign)),
        ]
        for target, value in single:
            whole = dotted(target)
            if whole is not None:
                found.setdefault(whole, []).append((method, value))
    return found


@remembered
def is_fixed(file: SourceFile, cls: ast.ClassDef, attribute: str) -> bool:
    """Whether `self.attribute` is set in `__init__` only, as far as this file shows, and not only to 0."""
    classes = family(file, cls)
    values = []
    for node in classes:
        if any(getattr(member, "name", None) == attribute for member in node.body):
            return False  # a property or a method
        for method, value in assignments(file, node, attribute):
            if method.name not in ("__init__", "__post_init__"):
                return False
            values.append(value)
    return bool(values) and not all(number(value) == 0 for value in values)
