"""THN113: a training loop of TensorFlow or JAX that calls its model in inference mode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.asked_mode import MODES
from ..lens.by_name import calls_by_name
from ..lens.calls import argument, is_open, literal
from ..lens.layer_names import DROPOUTS, MODEL, layer_name
from ..lens.network_classes import has_dropout, instances, is_network, is_part
from ..lens.networks import networks
from ..lens.remembered import remembered
from ..lens.source_file import Function, SourceFile, dotted
from ..rule import Rule

_MODE = {*DROPOUTS, "BatchNormalization", "StochasticDepth", "DropConnect"}
_TAPE = re.compile(r"^tensorflow\.(\w+\.)*GradientTape$")
_GRADIENT = re.compile(r"^jax\.(grad|value_and_grad)$")


def source(file: SourceFile) -> Iterator[Finding]:
    if file.says("GradientTape"):
        yield from _recorded(file)
    if file.says("stateless_call"):
        yield from _stateless(file)
    if file.says("flax"):
        yield from _with_a_key(file)


def _recorded(file: SourceFile) -> Iterator[Finding]:
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


def _stateless(file: SourceFile) -> Iterator[Finding]:
    """Calls of Keras models in functions of which JAX takes gradients."""
    models = _models(file)
    derived = {
        name
        for call, function in file.calls
        if _GRADIENT.match(function)
        for name in map(dotted, call.args[:1])
        if name is not None
    }
    for call in calls_by_name(file, file.tree).get(".stateless_call", []):
        name = (dotted(call.func) or "").removesuffix(".stateless_call")
        if name not in models or is_open(call) or argument(call, 3, ("training",)) is not None:
            continue
        if any(function.name in derived for function in file.functions_around(call)):
            yield RULE.on(
                file, call, f"`{name}` trains without dropout: `training` of stateless_call is False by default"
            )


def _with_a_key(file: SourceFile) -> Iterator[Finding]:
    """Calls of linen models that bring a key for dropout and leave the mode at its default, which is inference."""
    calls = calls_by_name(file, file.tree)
    for call in (*calls.get(".apply", []), *calls.get(".apply_fn", [])):
        rngs = argument(call, None, ("rngs",))
        keys = rngs.keys if isinstance(rngs, ast.Dict) else []
        if is_open(call) or not any(isinstance(key, ast.Constant) and key.value == "dropout" for key in keys):
            continue
        classes = _applied(file, call)
        modes = [_mode_off(cls, len(call.args) - 1) for cls in classes]
        words = {word.arg for word in call.keywords}
        if modes and all(mode is not None and not words & {mode, "method"} for mode in modes):
            yield RULE.on(
                file,
                call,
                f'the key of "dropout" serves nothing: `{modes[0]}` is left out, and is for inference by default',
            )


def _applied(file: SourceFile, call: ast.Call) -> list[ast.ClassDef]:
    """The classes of this file of which a call may apply the model: those with dropout that are no part of another."""
    name = dotted(call.func) or ""
    own = [cls for cls in file.classes.values() if is_network(file, cls) and has_dropout(file, cls)]
    named = [cls for cls in own if name.removesuffix(".apply") in instances(file, cls.name)]
    return named or ([cls for cls in own if not is_part(file, cls)] if name.endswith(".apply_fn") else [])


def _mode_off(cls: ast.ClassDef, given: int) -> str | None:
    """The argument of `__call__` that is the mode, if its default is inference and no place gives it another value."""
    method = next((node for node in cls.body if isinstance(node, Function) and node.name == "__call__"), None)
    if method is None:
        return None
    places = [argument.arg for argument in (*method.args.posonlyargs, *method.args.args)]
    defaults = dict(zip(reversed(places), reversed(method.args.defaults), strict=False))
    words = zip((word.arg for word in method.args.kwonlyargs), method.args.kw_defaults, strict=True)
    for name, default in (*defaults.items(), *words):
        if name in MODES and literal(default, name == "deterministic") and name not in places[: given + 1]:
            return name
    return None


def _models(file: SourceFile) -> set[str]:
    """The names of models of this file that have layers that follow the mode."""
    found: set[str] = set()
    for network in networks(file):
        if any(layer and layer.name in _MODE for layer in network.layers):
            found.update(network.called)
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
    name="keras-flax-loop-without-training",
    summary="A training loop of one's own calls a model of Keras or Flax with dropout and leaves the mode out.",
    what="""\
Looks for calls of a Keras model of the same file that has dropout or batch normalisation, with no `training`: under
`tf.GradientTape()`, and by `stateless_call` in a function that goes to `jax.grad` or `jax.value_and_grad`. In Flax
linen, for `apply` with a key of "dropout" in `rngs` and no mode, where its default in `__call__` means inference.""",
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
