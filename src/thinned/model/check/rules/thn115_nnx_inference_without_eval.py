"""THN115: a model of Flax NNX that is evaluated while it drops."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.by_name import calls_by_name
from ..lens.network_classes import has_dropout, instances, is_network
from ..lens.source_file import Function, SourceFile, arguments, dotted
from ..rule import Rule

_NNX = re.compile(r"^flax\.nnx\.")
_EVALUATES = re.compile(
    r"(^|_)(eval|evaluate|evaluation|predict|test|validate|validation|valid|val|infer|inference)(_|$)"
)
_MODE = ("deterministic", "set_attributes", ".eval(", ".train(", ".view(")  # ways to set the mode of a model


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("nnx") or file.says(*_MODE):
        return
    models = {name for cls in file.classes.values() if _drops(file, cls) for name in instances(file, cls.name)}
    for function in file.functions if models else ():
        if _EVALUATES.search(function.name) and file.method(function) is None:
            yield from _calls(file, function, models)


def _drops(file: SourceFile, cls: ast.ClassDef) -> bool:
    ours = any(_NNX.match(file.resolve(base) or "") for base in cls.bases)
    return ours and is_network(file, cls) and has_dropout(file, cls)


def _calls(file: SourceFile, function: Function, models: set[str]) -> Iterator[Finding]:
    """Calls of a model in a function: of one of the file, or of an argument that the file gives one for."""
    own = [argument.arg for argument in arguments(function)]
    given: set[str] = set()
    for use in calls_by_name(file, file.tree).get(function.name, []):
        pairs = [*zip(own, use.args, strict=False), *((word.arg, word.value) for word in use.keywords)]
        given |= {name for name, value in pairs if name is not None and dotted(value) in models}
    for name in (models - {*own}) | given:
        for call in calls_by_name(file, function).get(name, []):
            message = f"`{name}` drops at inference: NNX's mode is training until `{name}.eval()`"
            yield RULE.on(file, call, message)


RULE = Rule(
    code="THN115",
    name="nnx-inference-without-eval",
    summary="A Flax NNX model with dropout is evaluated, and the file never sets its mode.",
    what="""\
Looks for functions whose names speak of evaluation, as `eval_step` or `predict`, that call an NNX model with dropout of
the same file, in a file that has no `eval()`, `train()`, `view` or `deterministic`.""",
    why="""\
`nnx.Dropout` drops by default, and has a stream of keys of its own: predictions and validation draw masks, differ from
one call to the next, and no error says so.""",
    bad="""\
from flax import nnx


class Net(nnx.Module):
    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.out = nnx.Linear(16, 4, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(x))


@nnx.jit
def eval_step(model, x):
    return model(x).argmax(-1)


net = Net(nnx.Rngs(0))


def accuracy(x, y):
    return (eval_step(net, x) == y).mean()
""",
    good="""\
from flax import nnx


class Net(nnx.Module):
    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.out = nnx.Linear(16, 4, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(x))


@nnx.jit
def eval_step(model, x):
    return model(x).argmax(-1)


net = Net(nnx.Rngs(0))


def accuracy(x, y):
    net.eval()
    return (eval_step(net, x) == y).mean()
""",
    instead="""\
`model.eval()` before an evaluation, and `model.train()` before the next epoch.""",
    reference='Flax NNX, "Randomness" and `Module.eval`.',
    source=source,
)
