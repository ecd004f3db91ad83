"""The classes of a file that derive from Keras's Model and Layer or Flax's Module, and the names of their instances."""

from __future__ import annotations

import ast

from .by_name import calls_by_name
from .calls import argument, number
from .classes import family
from .layer_names import MODULE, layer_name
from .layer_use import LayerUse
from .remembered import remembered
from .source_file import Function, SourceFile, dotted

CALLS = ("call", "__call__")


def class_that_calls(file: SourceFile, function: ast.AST) -> ast.ClassDef | None:
    """The class whose `call` or `__call__` a function is, if it is a layer or model of Keras or Flax."""
    cls = file.index.scope(function)
    if not isinstance(function, Function) or function.name not in CALLS or not isinstance(cls, ast.ClassDef):
        return None
    return cls if is_network(file, cls) else None


@remembered
def is_network(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether a class derives from Keras's Model or Layer, or from Flax's Module."""
    return any(MODULE.match(file.resolve(base) or "") for part in family(file, cls) for base in part.bases)


@remembered
def draws_within(file: SourceFile, made: ast.Call) -> bool:
    """Whether what a call builds has dropout inside: a class of the file with such a layer, an LSTM, an attention."""
    rates = (argument(made, None, (name,)) for name in ("dropout", "recurrent_dropout", "dropout_rate"))
    if layer_name(file, made) is not None:
        return any(rate is not None and number(rate) != 0 for rate in rates)
    cls = file.classes.get(dotted(made.func) or "")
    return cls is not None and is_network(file, cls) and has_dropout(file, cls)


def draws(file: SourceFile, made: ast.Call) -> bool:
    """Whether a call builds a dropout that drops."""
    return LayerUse(made, layer_name(file, made) or "").draws


@remembered
def has_dropout(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether a class, or an ancestor in the file, builds a dropout."""
    return any(draws(file, call) for part in family(file, cls) for call in file.index.within(part, ast.Call))


def is_part(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether another class of the file builds it."""
    return any(file.method(call) is not None for call in calls_by_name(file, file.tree).get(cls.name, []))


def instances(file: SourceFile, name: str) -> tuple[str, ...]:
    """The names that are given what a class or function of this name makes."""
    return tuple(
        target
        for call in calls_by_name(file, file.tree).get(name, [])
        if isinstance(parent := file.parent(call), ast.Assign)
        for target in map(dotted, parent.targets)
        if target is not None
    )


def model_names(file: SourceFile, call: ast.Call) -> tuple[str, ...]:
    """The names of the model that a call builds: what it is assigned to, or what is given what the function returns."""
    parent, around = file.parent(call), file.function(call)
    if isinstance(parent, ast.Assign):
        return tuple(name for name in map(dotted, parent.targets) if name is not None)
    return instances(file, around.name) if isinstance(parent, ast.Return) and around is not None else ()
