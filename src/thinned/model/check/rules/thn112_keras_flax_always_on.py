"""THN112: dropout of Keras, TensorFlow or Flax that no mode switches off."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import DELIBERATE, argument, literal, number
from ..lens.keras_layers import LayerUse, applied, constructor, layer_name
from ..lens.remembered import remembered
from ..lens.source_file import Function, SourceFile, dotted
from ..rule import Rule

_FUNCTIONS = {"tensorflow.nn.dropout": 1, "tensorflow.compat.v2.nn.dropout": 1, "keras.random.dropout": 1}
_MODES = {"training", "train", "deterministic", "is_training"}
_LINEN = {"flax.linen.Dropout", "thinned.interop.jax.linen.Dropout"}
_FLAX = _LINEN | {"flax.nnx.Dropout", "thinned.interop.jax.nnx.Dropout"}


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("keras", "tensorflow", "flax"):
        return
    said = set[ast.AST]()
    for call in file.nodes(ast.Call):
        found = _constant(file, call)
        if found and found not in said and not _is_meant(file, call):
            said.add(found)
            yield RULE.on(file, found, f"`{file.segment(call.func)}` draws whatever the mode is, at inference too")


def _constant(file: SourceFile, call: ast.Call) -> ast.AST | None:
    """What says that the dropout is always on."""
    layer = _by_use(file).get(call)
    if layer is None and isinstance(call.func, ast.Call) and (built := layer_name(file, call.func)):
        layer = LayerUse(call.func, built)  # in an expression whose layers are not followed
    if layer is not None:
        given = argument(call, 1, ("training",))
        return given if layer.draws and literal(given, True) else None
    made = constructor(file, call.func)
    maker = file.resolve(made.func) if made is not None else None
    name = file.resolve(call.func) or ""
    if name in _LINEN or maker in _FLAX:  # NNX's own default is False, and its eval() changes it
        given = argument(call, None, ("deterministic",))
        return given if literal(given, False) else None
    if name in _FUNCTIONS and number(argument(call, _FUNCTIONS[name], ("rate",))) != 0:
        around = file.method(call)
        if around is not None and around[1].name in ("call", "__call__") and not _asks(file, call, around[1]):
            return call
    return None


@remembered
def _by_use(file: SourceFile) -> dict[ast.AST | None, LayerUse]:
    """The layer that each call on an input is of."""
    found: dict[ast.AST | None, LayerUse] = {}
    for layer in applied(file):
        found.setdefault(layer.use, layer)
    return found


def _asks(file: SourceFile, call: ast.Call, method: Function) -> bool:
    """Whether a condition in the method, or the call itself, reads the mode."""
    return _conditions_ask(file, method) or any(
        isinstance(node, ast.Name) and node.id in _MODES for node in ast.walk(call)
    )


@remembered
def _conditions_ask(file: SourceFile, method: Function) -> bool:
    conditions: list[ast.If | ast.IfExp] = [*file.index.within(method, ast.If), *file.index.within(method, ast.IfExp)]
    return any(
        (isinstance(node, ast.Name) and node.id in _MODES) or (isinstance(node, ast.Attribute) and node.attr in _MODES)
        for condition in conditions
        for node in ast.walk(condition.test)
    )


def _is_meant(file: SourceFile, call: ast.Call) -> bool:
    """Whether a name around the call says that noise at inference is wanted."""
    names = [above.name for above in file.above(call) if isinstance(above, Function | ast.ClassDef)]
    for above in file.above(call):
        if isinstance(above, ast.Assign):
            names += [name for target in above.targets if (name := dotted(target))]
    return any(DELIBERATE.search(name) for name in names)


RULE = Rule(
    code="THN112",
    name="keras-flax-always-on",
    summary="Dropout of Keras, TensorFlow or Flax with a constant mode draws at inference too.",
    what="""\
Looks for `training=True` on a Keras dropout layer, `deterministic=False` on one of Flax, and for `tf.nn.dropout` and
`keras.random.dropout` in a `call` that asks for no mode. Names that say that draws are wanted, such as "mc" or
"sample", are left alone.""",
    why="""\
The layer follows the argument of the call. A constant there is the mode for ever: predictions and validation draw
masks, and differ from one call to the next.""",
    bad="""\
import keras


def build():
    inputs = keras.Input((16,))
    x = keras.layers.Dense(64, activation="relu")(inputs)
    x = keras.layers.Dropout(0.5)(x, training=True)
    return keras.Model(inputs, keras.layers.Dense(4)(x))
""",
    good="""\
import keras


def build():
    inputs = keras.Input((16,))
    x = keras.layers.Dense(64, activation="relu")(inputs)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Dense(4)(x))
""",
    instead="""\
No `training` there: `fit`, `predict` and `model(x, training=...)` hand it on. For draws at inference,
`thinned.interop.keras.predict`.""",
    reference="Keras 3, `Layer.__call__`: the argument `training`.",
    source=source,
)
