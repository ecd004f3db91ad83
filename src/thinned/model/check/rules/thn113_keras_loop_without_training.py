"""THN113: a training loop of TensorFlow that calls its model in inference mode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import argument, is_open
from ..lens.keras_layers import DROPOUTS, MODEL, layer_name, networks
from ..lens.remembered import remembered
from ..lens.source_file import SourceFile, dotted
from ..rule import Rule

_MODE = {*DROPOUTS, "BatchNormalization", "StochasticDepth", "DropConnect"}
_TAPE = re.compile(r"^tensorflow\.(\w+\.)*GradientTape$")


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("GradientTape"):
        return
    models = _models(file)
    for call in file.nodes(ast.Call):
        name = dotted(call.func)
        if name not in models or is_open(call) or argument(call, 1, ("training",)) is not None or not call.args:
            continue
        tapes = [item for above in file.above(call) if isinstance(above, ast.With) for item in above.items]
        if any(
            isinstance(item.context_expr, ast.Call) and _TAPE.match(file.resolve(item.context_expr.func) or "")
            for item in tapes
        ):
            yield RULE.on(
                file, call, f"`{name}` trains without dropout: outside of fit(), `training` is False by default"
            )


def _models(file: SourceFile) -> set[str]:
    """The names of models of this file that have layers that follow the mode."""
    found = set()
    for network in networks(file):
        if network.called and any(layer and layer.name in _MODE for layer in network.layers):
            found.add(network.called)
    whole = any(layer_name(file, call) in _MODE for call, _ in file.calls)
    for node in file.nodes(ast.Assign):
        if isinstance(node.value, ast.Call):
            name = file.resolve(node.value.func) or ""
            if whole and (MODEL.match(name) or _is_own(file, name)):
                found |= {target for target in map(dotted, node.targets) if target}
    return found


@remembered
def _is_own(file: SourceFile, name: str) -> bool:
    """Whether a class of this file is a Keras model with such a layer."""
    cls = file.classes.get(name)
    return (
        cls is not None
        and any(MODEL.match(file.resolve(base) or "") for base in cls.bases)
        and any(isinstance(node, ast.Call) and layer_name(file, node) in _MODE for node in ast.walk(cls))
    )


RULE = Rule(
    code="THN113",
    name="keras-loop-without-training",
    summary="A loop with GradientTape calls a model with dropout and leaves `training` out.",
    what="""\
Looks for calls under `tf.GradientTape()` of a Keras model of the same file that has dropout or batch normalisation,
with no `training`.""",
    why="""\
In `fit` Keras passes `training=True`. In a loop of one's own nobody does, and the default is inference: dropout never
drops and batch normalisation never learns its statistics.""",
    bad="""\
import tensorflow as tf
from tensorflow import keras

model = keras.Sequential([keras.layers.Dense(64), keras.layers.Dropout(0.5), keras.layers.Dense(4)])


def step(x, y, optimizer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x) - y) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
""",
    good="""\
import tensorflow as tf
from tensorflow import keras

model = keras.Sequential([keras.layers.Dense(64), keras.layers.Dropout(0.5), keras.layers.Dense(4)])


def step(x, y, optimizer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
""",
    instead="""\
`model(x, training=True)` under the tape.""",
    reference='Keras, guide "Writing a training loop from scratch".',
    source=source,
)
