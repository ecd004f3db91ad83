"""THN103: a dropout module that is built in a forward, so that it is no submodule of the model."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..finding import Finding
from ..lens.calls import MODULES, given, number
from ..lens.classes import family, is_forward, is_module, module_method
from ..lens.mode import asks
from ..lens.noisy_calls import noisy_calls
from ..lens.reached import one_mode
from ..lens.remembered import remembered
from ..lens.source_file import Function, SourceFile
from ..rule import Rule

if TYPE_CHECKING:
    from ..lens.examination import Examination


def source(file: SourceFile) -> Iterator[Finding]:
    for call, name, entry, whole, _ in noisy_calls(file, MODULES):
        around = file.method(call)
        if around is None or not (is_forward(around[1]) or _only_of_forwards(file, around[1])):
            continue  # most: in a constructor
        if module_method(file, call) is None:
            continue
        p = given(whole, entry.p)
        if number(p) == 0 or (p is not None and asks(file, p)) or one_mode(file, call) or _told(file, around[1]):
            continue
        short = name.rpartition(".")[2]
        yield RULE.on(file, call, f"`{short}` is built in `{around[1].name}`: it drops in evaluation too")
    for call, cls in _built(file) if file.says("rop") else ():
        if not is_module(file, cls) or not _drops(file, cls):
            continue
        found = module_method(file, call)
        if found is not None and is_forward(found[1]) and not one_mode(file, call) and not _told(file, found[1]):
            yield RULE.on(file, call, f"`{cls.name}`, which drops, is built in `{found[1].name}`: in evaluation too")


def _built(file: SourceFile) -> Iterator[tuple[ast.Call, ast.ClassDef]]:
    """The calls of classes of this file by their names."""
    classes = {name: cls for name, cls in file.classes.items() if name not in file.aliases}
    for call in file.nodes(ast.Call):
        name = call.func
        if type(name) is ast.Name and name.id in classes and file.resolve(name) == name.id:
            yield call, classes[name.id]


@remembered
def _drops(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether a class builds a dropout module with a p above 0, itself or in an ancestor of this file."""
    dropping = _dropping(file)
    return any(part in dropping for own in family(file, cls) for part in file.index.within(own, ast.Call))


@remembered
def _dropping(file: SourceFile) -> set[ast.Call]:
    """The calls that build a dropout module with a p above 0."""
    return {call for call, _, entry, whole, _ in noisy_calls(file, MODULES) if number(given(whole, entry.p)) != 0}


def _only_of_forwards(file: SourceFile, method: Function) -> bool:
    """Whether a method gives a module to forwards alone."""
    return _called_twice_in_forwards(file, method.name) and file.index.has(method, ast.Return)


@remembered
def _called_twice_in_forwards(file: SourceFile, name: str) -> bool:
    """Whether each use of a method of this name is a call in a forward that is called in turn, and there is one."""
    uses = [node for node in file.index.within(file.tree, (ast.Attribute, name)) if type(node.ctx) is ast.Load]
    for use in uses:
        call = next(file.above(use))
        outer = next(file.above(call), None)
        around = file.method(use)
        if around is None or not is_forward(around[1]) or not isinstance(outer, ast.Call) or outer.func is not call:
            return False
    return bool(uses)


@remembered
def _told(file: SourceFile, method: Function) -> bool:
    """Whether the method sets the mode itself: `dropout.train(self.training)`, or `dropout.training = ...`."""
    called = [node.func for node in file.index.within(method, ast.Call)]
    return any(isinstance(node, ast.Attribute) and node.attr in ("train", "eval") for node in called) or any(
        isinstance(node.ctx, ast.Store) for node in file.index.within(method, (ast.Attribute, "training"))
    )


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        loose = examination.inspection.train.loose.get(place.module)  # a module that is no submodule of the model
        if place.active == "both" and loose is not None:
            kind = type(loose).__name__
            yield RULE.at(
                place, f"`{kind}` is no part of the model, so `eval()` does not reach it: it drops in both modes"
            )


RULE = Rule(
    code="THN103",
    name="dropout-built-in-forward",
    summary="A dropout module is built in `forward`, where `eval()` does not reach it.",
    what="""\
Looks for `nn.Dropout` and its kin, `DropPath`, `StochasticDepth` and `DropBlock` that a module's `forward` builds, or a
method whose result it calls at once, and for modules of the same file that have one. In a live model: dropout modules
that run and that the model does not own, those in a plain list among them, and that drop in both modes.""",
    why="""\
A new module is in training mode, and a module that is no attribute of the model is not found by `model.eval()`. So it
drops in evaluation, always, and no tool that walks the model's modules can see or set it.""",
    bad="""\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        x = self.hidden(x).relu()
        x = nn.Dropout(0.5)(x)
        return self.out(x)
""",
    good="""\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        x = self.hidden(x).relu()
        x = self.dropout(x)
        return self.out(x)
""",
    instead="""\
Build it in `__init__` as an attribute, in an `nn.ModuleList` if there are several, and call it in `forward`.""",
    reference="<https://github.com/yangze0930/NTS-Net/issues/14>, among many.",
    source=source,
    live=live,
)
