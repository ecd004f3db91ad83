"""THN208: two dropouts of Keras or Flax with nothing between them."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.layer_names import ELEMENTWISE, SHAPES
from ..lens.networks import applied
from ..lens.source_file import SourceFile
from ..rule import Rule


def source(file: SourceFile) -> Iterator[Finding]:
    said = set[int]()
    for second in applied(file):
        first = second.behind(SHAPES)
        if first is None or id(second.made) in said or not (first.draws and second.draws):
            continue
        alike = first.name == second.name or {first.name, second.name} <= ELEMENTWISE
        if alike and first.shared == second.shared:
            said.add(id(second.made))
            p, q = first.rate, second.rate
            both = f" of {p:g} and {q:g} are one of {1 - (1 - p) * (1 - q):.3g}" if p and q else " are one of more"
            yield RULE.on(file, second.made, f"dropout behind dropout: the two{both}. Keep one")


RULE = Rule(
    code="THN208",
    name="keras-flax-two-dropouts-in-a-row",
    summary="One dropout's output in Keras or Flax goes straight into another.",
    what="""\
Looks for two dropouts of one kind, in a `Sequential` or in calls of layers, with nothing or only changes of shape
between them. Dropouts that share their draws along different axes are two kinds.""",
    why="""\
Two dropouts of p and p' are one of 1 - (1 - p)(1 - p'): 0.5 twice is 0.75, which nobody chose.""",
    bad="""\
import keras
from keras import layers

model = keras.Sequential(
    [keras.Input((16,)), layers.Dense(64), layers.Dropout(0.3), layers.Dropout(0.2), layers.Dense(4)]
)
model.compile("adam", "mse")
""",
    good="""\
import keras
from keras import layers

model = keras.Sequential([keras.Input((16,)), layers.Dense(64), layers.Dropout(0.3), layers.Dense(4)])
model.compile("adam", "mse")
""",
    instead="""\
Keep one of the two, at the rate that the two were meant to come to.""",
    reference="`docs/design/theory.md`.",
    source=source,
)
