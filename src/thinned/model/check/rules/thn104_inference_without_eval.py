"""THN104: a model that makes predictions in training mode."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..lens.built import built
from ..lens.calls import DELIBERATE
from ..lens.source_file import Function, SourceFile, dotted, first_call
from ..rule import Rule

_QUIET = {"torch.no_grad", "torch.inference_mode", "torch.autograd.no_grad", "torch.autograd.inference_mode"}
_MADE_UP = {f"torch.{name}" for name in ("zeros", "ones", "rand", "randn", "empty", "randint", "full", "arange")}


def source(file: SourceFile) -> Iterator[Finding]:
    for model in built(file):
        for call in model.runs:
            if not _quiet(file, call):
                continue
            functions = [above for above in file.above(call) if isinstance(above, Function)]
            if any(DELIBERATE.search(function.name) for function in functions):
                continue
            if _is_dry_run(file, call) or _in_training_step(file, call):
                continue
            yield RULE.on(file, call, f"`{model.name}` predicts in training mode: nothing calls `{model.name}.eval()`")
            break


def _quiet(file: SourceFile, call: ast.Call) -> bool:
    """Whether the call runs without gradients, by a `with` around it or a decorator of its function."""
    for above in file.above(call):
        if isinstance(above, ast.With | ast.AsyncWith) and any(
            _is_quiet(file, item.context_expr) for item in above.items
        ):
            return True
        if isinstance(above, Function):
            return any(_is_quiet(file, mark) for mark in above.decorator_list)
    return False


def _is_quiet(file: SourceFile, node: ast.expr) -> bool:
    """Whether an expression is one of torch's context managers that switch gradients off."""
    return file.resolve(node.func if isinstance(node, ast.Call) else node) in _QUIET


def _is_dry_run(file: SourceFile, call: ast.Call) -> bool:
    """Whether every argument is made by `torch.zeros` or the like, as in a run that only shows the shapes."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return bool(given) and all(_made_up(file, value) for value in given)


def _made_up(file: SourceFile, value: ast.expr) -> bool:
    """Whether a value, or every value assigned to a name, is made by `torch.zeros` or the like."""
    value, _ = first_call(value)  # of `torch.zeros(1, 3).to(device)`, the call of zeros
    if isinstance(value, ast.Call):
        return file.resolve(value.func) in _MADE_UP
    if isinstance(value, ast.Name):
        scope = file.function(value) or file.tree
        given = [
            node.value
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign) and any(dotted(target) == value.id for target in node.targets)
        ]
        return bool(given) and all(isinstance(made, ast.Call) and _made_up(file, made) for made in given)
    return False


def _in_training_step(file: SourceFile, call: ast.Call) -> bool:
    """Whether the loop or function around the call trains: then the model may be a generator or a teacher."""
    loops = [above for above in file.above(call) if isinstance(above, ast.For | ast.While)]
    if loops:
        return any(_trains(loop) for loop in loops)
    function = file.function(call)
    return function is not None and "train" in function.name and _trains(function)


def _trains(node: ast.AST) -> bool:
    """Whether code computes gradients by `backward`."""
    return any(isinstance(part, ast.Attribute) and part.attr == "backward" for part in ast.walk(node))


RULE = Rule(
    code="THN104",
    name="inference-without-eval",
    summary="A model that was just built predicts without gradients, and in training mode.",
    what="""\
Looks for calls under `torch.no_grad()` or `torch.inference_mode()` of a model that the same function, or the file,
builds: a class of this file that has dropout or batch normalisation, `nn.Sequential` with such layers, a transformer
layer, a model of timm or torchvision. If anything might set its mode, a call of `eval()` or `train()` or a function
that gets the model, it is left alone; so are a run on made-up input, a training step, and `from_pretrained`, which
calls `eval()` itself.""",
    why="""\
A new model is in training mode, and turning gradients off does not change that: dropout drops and batch normalisation
uses, and spoils, the batch's statistics. Predictions are random and depend on what else is in the batch.""",
    bad="""\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.dropout(self.hidden(x)))


def predict(x, path):
    model = Net()
    model.load_state_dict(torch.load(path))
    with torch.no_grad():
        return model(x)
""",
    good="""\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.dropout(self.hidden(x)))


def predict(x, path):
    model = Net()
    model.load_state_dict(torch.load(path))
    model.eval()
    with torch.no_grad():
        return model(x)
""",
    instead="`model.eval()` before. Where draws are wanted, for an uncertainty, `thinned.predict`.",
    reference="<https://github.com/pytorch/pytorch/issues/76383>, open since 2022, asks torch for this warning.",
    source=source,
)
