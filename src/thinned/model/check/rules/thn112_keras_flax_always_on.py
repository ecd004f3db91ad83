"""THN112: dropout of Keras, TensorFlow or Flax that no mode switches off."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.asked_mode import asks_mode, chosen_by_mode, conditions_ask, constant_mode, reads_mode
from ..lens.calls import DELIBERATE, argument, literal, number
from ..lens.followed_layers import constructor
from ..lens.layer_names import is_linen, layer_name
from ..lens.network_classes import CALLS, class_that_calls, draws, draws_within
from ..lens.source_file import Function, SourceFile, dotted
from ..rule import Rule

_FUNCTIONS = re.compile(
    r"^(tensorflow\.(compat\.v2\.)?nn\.(dropout|experimental\.(general|stateless)_dropout)"
    r"|(tensorflow\.|tf_)?keras\.(random|backend)\.dropout|thinned\.interop\.jax\.dropout)$"
)


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("keras", "tensorflow", "flax"):
        return
    said = set[ast.AST]()
    for call in file.nodes(ast.Call):
        found = _constant(file, call)
        if found and found not in said and not chosen_by_mode(file, call) and not _is_meant(file, call):
            said.add(found)
            yield RULE.on(file, found, f"`{file.segment(call.func)}` draws whatever the mode is, at inference too")


def _constant(file: SourceFile, call: ast.Call) -> ast.AST | None:
    """What says that the dropout is always on."""
    made = constructor(file, call.func)
    mode = constant_mode(file, call, made) if made is not None else None
    if made is not None and mode is not None and mode.training and (draws(file, made) or _as_part(file, call, made)):
        return mode.given
    if is_linen(file, call):  # NNX's own default is False, and its eval() changes it
        given = argument(call, None, ("deterministic",))
        return given if literal(given, False) and (draws(file, call) or draws_within(file, call)) else None
    name = file.resolve(call.func) or ""
    if not _FUNCTIONS.match(name) or number(argument(call, 1, ("rate", "level", "p"))) == 0 or reads_mode(call):
        return None
    around = next((each for each in file.functions_around(call) if each.name in CALLS and file.method(call)), None)
    return call if (around is not None and not asks_mode(file, around)) or _in_lambda_layer(file, call) else None


def _as_part(file: SourceFile, call: ast.Call, made: ast.Call) -> bool:
    """Whether a `call` or `__call__` runs a part of its network that has dropout inside, in every mode."""
    around = file.function(call)
    return (
        around is not None
        and class_that_calls(file, around) is not None
        and not conditions_ask(file, around)
        and draws_within(file, made)
    )


def _in_lambda_layer(file: SourceFile, call: ast.Call) -> bool:
    """Whether the call is the function of a `Lambda` layer, which no mode reaches."""
    return any(
        isinstance(above, ast.Lambda)
        and isinstance(layer := file.parent(above), ast.Call)
        and layer_name(file, layer) == "Lambda"
        and not reads_mode(above)
        for above in file.above(call)
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
Looks for `training=True` on a Keras dropout layer, `deterministic=False` on one of Flax, also for a layer or class with
dropout inside where `call` or `__call__` runs it, and for functions such as `tf.nn.dropout` and `keras.random.dropout`
in a `call` that asks for no mode, or in a `Lambda` layer. What a condition on the mode chooses, and names that say that
draws are wanted, such as "mc" or "sample", are left alone.""",
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
