"""THN104: a model that makes predictions in training mode."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..lens.built import built
from ..lens.by_name import assigned
from ..lens.calls import DELIBERATE
from ..lens.gradients import without_gradients
from ..lens.source_file import Function, SourceFile, dotted, first_call
from ..rule import Rule

_MADE_UP = {f"torch.{name}" for name in ("zeros", "ones", "rand", "randn", "empty", "randint", "full", "arange")}


def source(file: SourceFile) -> Iterator[Finding]:
    said = set()
    for model in built(file):
        for call in sorted(model.runs, key=file.position):
            if call in said or not without_gradients(file, call):
                continue
            if _is_meant(file, call) or _is_dry_run(file, call) or _in_training_step(file, call):
                continue
            said.add(call)
            yield RULE.on(file, call, f"`{model.name}` predicts in training mode: nothing calls `{model.name}.eval()`")
            break


def _is_meant(file: SourceFile, call: ast.Call) -> bool:
    """Whether the dropout is wanted: by a name around the call, or because one input is run again and again."""
    for above in file.above(call):
        if isinstance(above, Function | ast.ClassDef) and DELIBERATE.search(above.name):
            return True
        if isinstance(above, ast.ListComp | ast.GeneratorExp) and all(
            _counts(file, generator.target, generator.iter, call) for generator in above.generators
        ):
            return True
        if isinstance(above, ast.For) and dotted(above.target) == "_" and _counts(file, above.target, above.iter, call):
            return True
    return False


def _counts(file: SourceFile, target: ast.expr, iterated: ast.expr, call: ast.Call) -> bool:
    """Whether a loop only counts: over `range`, by a name that the call does not use."""
    used = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    over = isinstance(iterated, ast.Call) and file.resolve(iterated.func) == "range"
    return over and dotted(target) not in used


def _is_dry_run(file: SourceFile, call: ast.Call) -> bool:
    """Whether every argument is made by `torch.zeros` or the like, as in a run that only shows the shapes."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return bool(given) and all(_made_up(file, value) for value in given)


def _made_up(file: SourceFile, value: ast.expr) -> bool:
    """Whether a value, or every value assigned to a name, is made by `torch.zeros` or the like."""
    value, _ = first_call(value)  # of `torch.zeros(1, 3).to(device)`, the call of zeros
    if isinstance(value, ast.Tuple | ast.List | ast.Dict):
        parts = value.values if isinstance(value, ast.Dict) else value.elts
        return bool(parts) and all(_made_up(file, part) for part in parts)
    if isinstance(value, ast.Starred):
        return _made_up(file, value.value)
    if isinstance(value, ast.Call):
        return file.resolve(value.func) in _MADE_UP
    if isinstance(value, ast.Name):
        given = assigned(file, file.function(value) or file.tree).get(value.id, [])
        return bool(given) and all(not isinstance(made, ast.Name) and _made_up(file, made) for made in given)
    return False


def _in_training_step(file: SourceFile, call: ast.Call) -> bool:
    """Whether the loop or function around the call trains: then the model may be a generator or a teacher."""
    loops = [above for above in file.above(call) if isinstance(above, ast.For | ast.While)]
    if loops:
        return any(_trains(file, loop) for loop in loops)
    function = file.function(call)
    return function is not None and "train" in function.name and _trains(file, function)


def _trains(file: SourceFile, node: ast.AST) -> bool:
    """Whether code computes gradients by `backward`."""
    return file.index.has(node, (ast.Attribute, "backward"))


RULE = Rule(
    code="THN104",
    name="inference-without-eval",
    summary="A model that was just built predicts without gradients, and in training mode.",
    what="""\
Looks for calls under `torch.no_grad()`, `torch.inference_mode()` or `torch.set_grad_enabled(False)` of a model that the
same function, the file, or a class that only uses it (`self.model`) builds: a class of this file that has dropout or
batch normalisation, `nn.Sequential` with such layers, a transformer layer, a model of timm or torchvision, also inside
`torch.compile` and `DataParallel`. If anything might set its mode, a call of `eval()` or `train()` or a function that
gets the model, it is left alone; so are a run on made-up input, many runs on one input, a training step, and
`from_pretrained`, which calls `eval()` itself.""",
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
