"""THN114: dropout of Keras or Flax that no mode switches on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.asked_mode import conditions_ask, constant_mode
from ..lens.by_name import calls_by_name
from ..lens.calls import argument, literal
from ..lens.followed_layers import constructor
from ..lens.layer_names import is_linen
from ..lens.network_classes import class_that_calls, draws
from ..lens.source_file import Function, SourceFile, dotted
from ..rule import Rule

_INFERENCE = re.compile(r"infer|eval|predict|frozen|freeze|teacher|target|ema|serv|export|determin|test", re.IGNORECASE)


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("keras", "flax"):
        return
    for call in file.nodes(ast.Call):
        found = _constant(file, call)
        if found is not None and not _is_for_inference(file, call):
            name = file.segment(call.func)
            yield RULE.on(file, found, f"`{name}` never drops: the mode is a constant, and is that of inference")


def _constant(file: SourceFile, call: ast.Call) -> ast.expr | None:
    """What says that the dropout is never on."""
    made = constructor(file, call.func)
    if made is not None and draws(file, made):
        mode = constant_mode(file, call, made)
        return mode.given if mode is not None and not mode.training and not _drops_elsewhere(file, call, made) else None
    if is_linen(file, call) and draws(file, call) and file.method(call) is not None:  # NNX's train() changes it
        given = argument(call, None, ("deterministic",))
        return given if literal(given, True) else None
    return None


def _drops_elsewhere(file: SourceFile, call: ast.Call, made: ast.Call) -> bool:
    """Whether the layer is also called in another mode."""
    name, around = dotted(call.func), file.method(call)
    others = calls_by_name(file, around[0] if around is not None else file.tree).get(name or "", [])
    modes = [constant_mode(file, other, made) for other in others]
    return any(mode is None or mode.training for mode in modes)


def _is_for_inference(file: SourceFile, call: ast.Call) -> bool:
    """Whether the place is one of inference: by a name around it, or by a condition that asks for the mode.

    In a class that is a layer or model, what its `call` or `__call__` runs is for both modes.
    """
    around = [above for above in file.above(call) if isinstance(above, Function | ast.ClassDef)]
    method = file.method(call)
    if method is not None and class_that_calls(file, method[1]) is None:
        return True
    return any(_INFERENCE.search(above.name) for above in around) or any(
        isinstance(above, Function) and conditions_ask(file, above) for above in around
    )


RULE = Rule(
    code="THN114",
    name="keras-flax-never-on",
    summary="Dropout of Keras or Flax with a constant mode never drops.",
    what="""\
Looks for `training=False` on a Keras dropout layer and `deterministic=True` on one of Flax, where the layer is called
in no other way. What a condition on the mode chooses, and what a name says is for inference, is left alone.""",
    why="""\
The layer follows the argument of the call. With a constant there, a rate of 0.5 regularises nothing, and no error
says so.""",
    bad="""\
import keras


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(64, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.out = keras.layers.Dense(4)

    def call(self, x):
        return self.out(self.dropout(self.hidden(x), training=False))
""",
    good="""\
import keras


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(64, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.out = keras.layers.Dense(4)

    def call(self, x):
        return self.out(self.dropout(self.hidden(x)))
""",
    instead="""\
No `training` in a Keras `call`: Keras hands on the mode of the model's own call. In Flax linen,
`deterministic=not train` with the argument of `__call__`; in NNX nothing, and `model.train()` or `model.eval()`.""",
    reference="Keras 3, `Layer.__call__`: the argument `training`; Flax, `Dropout`.",
    source=source,
)
