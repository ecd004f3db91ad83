"""THN101: functional dropout that ignores the mode."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..finding import Edit, Finding, Fix
from ..lens.calls import DELIBERATE, FUNCTIONS, given, is_open, literal, number
from ..lens.classes import can_ask_mode, module_method
from ..lens.mode import MODE, builds, depends, is_mode_method, told_at_construction
from ..lens.mode_methods import ask_training, mode_methods
from ..lens.noisy_calls import noisy_calls
from ..lens.passed_rates import always_constant
from ..lens.project import foreign_noise
from ..lens.reached import one_mode, running_method
from ..lens.source_file import SourceFile, arguments, dotted
from ..rule import Rule

if TYPE_CHECKING:
    from ..lens.examination import Examination

_KINDS = {name.rpartition(".")[2].rstrip("_") for name in FUNCTIONS}


def source(file: SourceFile) -> Iterator[Finding]:
    for call, name, entry, whole, sure in noisy_calls(file, FUNCTIONS):
        if entry.training is None or is_open(whole):
            continue
        told = given(whole, entry.training)
        if told is not None and not literal(told, True) and not _always_same(file, call, told):
            continue
        found = running_method(file, call)
        if found is None:
            continue
        p = given(whole, entry.p)
        if number(p) == 0 or (p is not None and depends(file, p) == MODE) or one_mode(file, call):
            continue
        if isinstance(p, ast.Name) and _is_argument(file, p) and not always_constant(file, p):
            continue  # the caller of the method may pass 0 in evaluation
        short = name.rpartition(".")[2]
        method = mode_methods(file, call, (p, told))
        if method and (told is None or any(part in method for part in ast.walk(told))):
            message = f"`{short}` drops in evaluation too: `{dotted(method[0])}` is a method, and so always true"
            yield RULE.on(file, call, message, ask_training(file, found[0], method))
        elif told is None and entry.training.default is True:
            fix = None
            can = sure and module_method(file, call) is not None and can_ask_mode(file, found[0], call)
            if (call.args or call.keywords) and can:
                fix = Fix("Add `training=self.training`", (_append(file, call, "training=self.training"),))
            yield RULE.on(file, call, f"`{short}` drops in evaluation too: it is not told `training`", fix)
        elif told is None and entry.training.default is False:
            yield RULE.on(file, call, f"`{short}` never drops: its `training` is False by default")
        elif literal(told, True):
            yield RULE.on(file, call, f"`{short}` drops in evaluation too: its `training` is always True")
        elif told is not None and told_at_construction(file, call, told):
            yield RULE.on(file, call, f"`{short}` drops in evaluation too: `__init__` reads its `training` once")
    for call, name, noise in foreign_noise(file):
        found = running_method(file, call)
        if found is not None and not one_mode(file, call) and not DELIBERATE.search(name):
            where = f"{Path(noise.path).name}:{noise.line}"
            yield RULE.on(file, call, f"`{name}` drops in evaluation too: {where} is not told `training`")


def _always_same(file: SourceFile, call: ast.Call, told: ast.expr) -> bool:
    """Whether what a call is told is a method of the mode, as in `training=self.train`, or the mode of construction."""
    return _is_method_true(file, told) or told_at_construction(file, call, told)


def _is_method_true(file: SourceFile, told: ast.expr) -> bool:
    """Whether an expression is true because `self.train` is a method: itself, its `bool`, a choice by it."""
    match told:
        case ast.Attribute():
            return is_mode_method(file, told)
        case ast.IfExp(test=test, body=ast.Constant(value=True)):
            return _is_method_true(file, test)
        case ast.Call(func=ast.Name(id="bool"), args=[inner]):
            return _is_method_true(file, inner)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_is_method_true(file, part) for part in parts)
    return False


def _is_argument(file: SourceFile, name: ast.Name) -> bool:
    """Whether a name is an argument of a function around it, other than a constructor."""
    functions = (around for around in file.functions_around(name) if not builds(around))
    return any(name.id == declared.arg for around in functions for declared in arguments(around))


def _append(file: SourceFile, call: ast.Call, text: str) -> Edit:
    """The edit that adds an argument after the last one, also after closing brackets around the last one."""
    last = max((*call.args, *(keyword.value for keyword in call.keywords)), key=lambda node: file.end(node))
    line, column = file.end(last)
    rest = file.between((line, column), file.end(call))
    closing, place, comment = [], 0, False
    for place, sign in enumerate(rest):
        comment = sign != "\n" and (comment or sign == "#")
        if sign == ")" and not comment:
            closing.append(place)
    inner = rest[: closing[-2] + 1] if len(closing) > 1 else ""
    breaks = inner.count("\n")
    line, column = (line + breaks, len(inner) - inner.rfind("\n")) if breaks else (line, column + len(inner))
    return file.insert(line, column, f", {text}")


def live(examination: Examination) -> Iterator[Finding]:
    inspection = examination.inspection
    for place in inspection.places:
        if place.active == "both" and place.kind in _KINDS and place.module not in inspection.train.loose:
            yield RULE.at(
                place,
                f"`{place.kind}` drops in evaluation too: its `training` is left out or always True. "
                "Pass training=self.training",
            )


RULE = Rule(
    code="THN101",
    name="functional-ignores-training",
    summary="A functional dropout does not follow `train()` and `eval()`.",
    what="""\
Looks for calls of `torch.nn.functional.dropout` and its kin, and of `torch.dropout`, in a module's methods that leave
`training` out or always say True. The function may have another name: an attribute (`self.drop = F.dropout`), an entry
of a list or dictionary, what a loop gives (`for f in (F.relu, F.dropout)`), `getattr(F, "dropout")`, a
`functools.partial`, what a function of the file returns. Arguments in `*args` and `**kwargs` are read where the file
shows them. A helper outside classes counts as part of the method that calls it, and so does one that the file imports
from another file of the project. A p that a method gets as an argument counts where each call in the file gives it a
constant. A branch on `self.train` is one on a method, which is always true. What only a run can tell, such as a
function of an installed package, is found by `thinned.check(model, x)`. A call in a branch on the mode, in a method or
a module that is only called in such branches, in a method for training (`training_step`), and code that says by its
name that it samples (`mc_forward`, `MCDropout`), are left alone. In a live model: every
functional dropout that drops in both modes.""",
    why="""\
A function knows nothing of `model.eval()`. The default of `F.dropout` is `training=True`, so predictions stay random
after `eval()`, silently: the loss on validation data depends on p, and the same input gives different outputs. The
default of `F.alpha_dropout` and `F.feature_alpha_dropout` is False: they never drop.""",
    bad="""\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        x = F.dropout(self.hidden(x).relu(), 0.5)
        return self.out(x)
""",
    good="""\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        x = F.dropout(self.hidden(x).relu(), 0.5, training=self.training)
        return self.out(x)
""",
    instead="""\
`training=self.training`, or a module (`nn.Dropout`), which follows the mode by itself. `--fix` adds the argument
where it is missing and True by default. A written `training=True` may be meant, for Monte-Carlo dropout: say so with
`# noqa: THN101`, or use `thinned.predict`.""",
    reference="<https://github.com/pytorch/pytorch/issues/26338>, open since 2019.",
    source=source,
    live=live,
)
