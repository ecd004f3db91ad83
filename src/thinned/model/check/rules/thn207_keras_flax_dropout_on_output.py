"""THN207: dropout as the last layer of a Keras or Flax model."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.layer_names import LINEAR, LINKS
from ..lens.layer_use import LayerUse
from ..lens.networks import networks, trained
from ..lens.source_file import SourceFile
from ..rule import Rule


def source(file: SourceFile) -> Iterator[Finding]:
    for network in networks(file):
        last = network.layers[-1] if network.ends and network.layers else None
        squashed = last is not None and last.makes_probabilities
        while last is not None and last.name in LINKS:
            last = last.before
            squashed = squashed or (last is not None and last.makes_probabilities)
        if last is None or not last.draws or _goes_on(last):
            continue
        before, linear = last.before, last.behind(LINKS)
        if before is None or linear is None or linear.name not in LINEAR:
            continue
        if squashed or before.makes_probabilities or linear.makes_probabilities or trained(file, network):
            yield RULE.on(
                file,
                last.made,
                f"dropout on the model's output: it zeroes predictions. Put it before the last {linear.name}",
            )


def _goes_on(layer: LayerUse) -> bool:
    """Whether something beside the output takes a layer's result."""
    return layer.elsewhere or any(after.name not in LINKS or _goes_on(after) for after in layer.after)


RULE = Rule(
    code="THN207",
    name="keras-flax-dropout-on-output",
    summary="Dropout is the last layer of a Keras or Flax model.",
    what="""\
Looks for a dropout behind the last linear layer or convolution of a `Sequential`, of `keras.Model(inputs, outputs)`,
and of what a class's `call` or `__call__` returns: where the file compiles, fits or optimises the model by its name, or
where a softmax or sigmoid stands right before or behind the dropout. A part of a larger model is left alone.""",
    why="""\
A dropped output is 0 and the others grow by 1/(1 - rate): the loss punishes the network for what the noise did.""",
    bad="""\
import keras
from keras import layers

model = keras.Sequential([keras.Input((16,)), layers.Dense(64, "relu"), layers.Dense(10), layers.Dropout(0.2)])
model.compile("adam", "mse")
""",
    good="""\
import keras
from keras import layers

model = keras.Sequential([keras.Input((16,)), layers.Dense(64, "relu"), layers.Dropout(0.2), layers.Dense(10)])
model.compile("adam", "mse")
""",
    instead="""\
Put the dropout before the last layer, on what it reads.""",
    reference="Srivastava et al. 2014, section 4.",
    source=source,
)
