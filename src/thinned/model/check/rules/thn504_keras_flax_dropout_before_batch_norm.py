"""THN504: dropout of Keras or Flax right before a batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.layer_names import LINKS, NORMS, POOLS, RECTIFIERS
from ..lens.networks import applied
from ..lens.source_file import SourceFile
from ..rule import Rule

_THROUGH = LINKS | RECTIFIERS | POOLS


def source(file: SourceFile) -> Iterator[Finding]:
    said = set[int]()
    for norm in applied(file):
        before = norm.behind(_THROUGH) if norm.name in NORMS else None
        if before is not None and before.draws and id(norm.made) not in said:
            said.add(id(norm.made))
            yield RULE.on(
                file,
                before.made,
                "dropout right before batch normalisation, which at inference sees another variance than in training. "
                "Move it behind",
            )


RULE = Rule(
    code="THN504",
    name="keras-flax-dropout-before-batch-norm",
    summary="A dropout of Keras or Flax stands right before a batch normalisation.",
    what="""\
Looks for a dropout whose output goes into `BatchNormalization`, or Flax's `BatchNorm`, with nothing or only
activations, pooling and changes of shape between them. With a Dense layer or a convolution between them the shift may
be small: nothing is said there.""",
    why="""\
The running variance is that of noisy activations. At inference q v / (v + p c²) of it is left, with c and v the
activations' mean and variance: 0.73 for 0.2 behind a ReLU.""",
    bad="""\
import keras
from keras import layers

model = keras.Sequential(
    [keras.Input((16,)), layers.Dense(64, "relu"), layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(4)]
)
model.compile("adam", "mse")
""",
    good="""\
import keras
from keras import layers

model = keras.Sequential(
    [keras.Input((16,)), layers.Dense(64, "relu"), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(4)]
)
model.compile("adam", "mse")
""",
    instead="""\
The batch normalisation first, and the dropout behind it.""",
    reference="Li, Chen, Hu and Yang 2019; `docs/design/theory.md`.",
    source=source,
)
