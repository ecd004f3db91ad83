"""THN116: a Keras model that `fit` can't tell that it trains."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.classes import family
from ..lens.layer_names import MODEL
from ..lens.layer_use import LayerChain
from ..lens.network_classes import draws, draws_within, instances
from ..lens.networks import trained
from ..lens.source_file import Function, SourceFile, arguments
from ..rule import Rule

_OLD = re.compile(r"^tf_keras\.")  # Keras 2 hands the mode on beside the arguments


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("keras"):
        return
    for cls in file.classes.values():
        method = _call(file, cls)
        if method is None or not trained(file, LayerChain((), instances(file, cls.name))):
            continue
        named = any(given.arg == "training" for given in arguments(method))
        if not named and method.args.kwarg is None and _draws(file, cls):
            yield RULE.on(
                file, method, "`fit` trains without dropout: it tells a model the mode if its `call` has `training`"
            )


def _call(file: SourceFile, cls: ast.ClassDef) -> Function | None:
    """The `call` of a model whose steps of training are Keras's own."""
    classes = family(file, cls)
    bases = {file.resolve(base) or "" for part in classes for base in part.bases}
    if not any(map(MODEL.match, bases)) or any(map(_OLD.match, bases)):
        return None
    methods: dict[str, Function] = {}
    for part in classes:
        for node in part.body:
            if isinstance(node, Function):
                methods.setdefault(node.name, node)
    return None if "train_step" in methods or "__call__" in methods else methods.get("call")


def _draws(file: SourceFile, cls: ast.ClassDef) -> bool:
    return any(
        draws(file, call) or draws_within(file, call)
        for part in family(file, cls)
        for call in file.index.within(part, ast.Call)
    )


RULE = Rule(
    code="THN116",
    name="keras-call-without-training",
    summary="A Keras model with dropout has a `call` without `training`, and `fit` never switches the dropout on.",
    what="""\
Looks for subclasses of `keras.Model` with dropout that the file compiles or fits, whose `call` has no `training` and
whose `train_step` is Keras's own. Layers, and models inside of others, need no `training`: they get the mode of the
call around them.""",
    why="""\
Keras 3's `fit` calls the model with `training=True` only if `call` has this argument, and with nothing otherwise. Every
dropout inside then takes its own default, which is inference: nothing is dropped, and no error says so.""",
    bad="""\
import keras


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(64, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.out = keras.layers.Dense(4)

    def call(self, x):
        return self.out(self.dropout(self.hidden(x)))


model = Net()
model.compile("adam", "mse")
""",
    good="""\
import keras


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(64, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.out = keras.layers.Dense(4)

    def call(self, x, training=None):
        return self.out(self.dropout(self.hidden(x)))


model = Net()
model.compile("adam", "mse")
""",
    instead="""\
`def call(self, x, training=None)`. It need not be handed on: Keras does that.""",
    reference="Keras 3, `Trainer.train_step` of each backend: `_call_has_training_arg`.",
    source=source,
)
