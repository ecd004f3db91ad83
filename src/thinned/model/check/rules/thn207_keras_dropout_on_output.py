"""THN207: dropout as the last layer of a Keras model."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.keras_layers import LINKS, LayerUse, networks, says_output, trained
from ..lens.source_file import SourceFile
from ..rule import Rule

_LAST = ("Dense", "Conv1D", "Conv2D", "Conv3D", "EinsumDense")


def source(file: SourceFile) -> Iterator[Finding]:
    for network in networks(file):
        last = network.layers[-1] if network.layers else None
        while last is not None and last.name in LINKS:
            last = last.before
        if last is None or not last.draws or (last.after and any(layer.name not in LINKS for layer in last.after)):
            continue
        before = last.behind(LINKS)
        if before is None or before.name not in _LAST:
            continue
        if (
            says_output(before)
            or any(_squashes(layer) for layer in (last.before, *last.after))
            or trained(file, network)
        ):
            yield RULE.on(
                file,
                last.made,
                f"dropout on the model's output: it zeroes predictions. Put it before the last {before.name}",
            )


def _squashes(layer: LayerUse | None) -> bool:
    return layer is not None and layer.name == "Softmax"


RULE = Rule(
    code="THN207",
    name="keras-dropout-on-output",
    summary="Dropout is the last layer of a Keras model.",
    what="""\
Looks for a dropout behind the last Dense or convolution of a `Sequential` that the file compiles or fits, or behind one
whose activation is softmax or sigmoid, or one with a `Softmax` layer right before or behind the dropout. A `Sequential`
that is a part of a larger model is left alone.""",
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
