"""THN111: dropout of Keras, which follows an argument of the call and not the mode of the module."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.keras import keras_parts
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    seen = [place.module for place in examination.inspection.places if place.train_calls]
    for part in keras_parts(examination.modules, seen):
        yield RULE.at(
            part.name or "the model",
            f"{part.kind} is Keras's, whose dropout ({part.dropouts}) follows the call's `training=` and not train() "
            "and eval(): nothing here has seen it. Pass training=self.training",
        )


RULE = Rule(
    code="THN111",
    name="keras-mode-not-seen",
    summary="Dropout of Keras 3 in a model of torch, which no mode switches on.",
    what="""\
Flags layers and models of Keras (3, with torch as the backend) that have dropout with a rate above 0 of which nothing
drew in training mode.""",
    why="""\
A Keras layer is a `torch.nn.Module`, and its dropout is on if the call has `training=True`: `train()` and `eval()` do
nothing to it. In a training loop of torch's style it never drops. `thinned.inspect`, `set_rates` and the other rules
see what a pass of torch draws, so they see nothing of it, and a check that finds nothing says nothing.""",
    bad="""\
import torch
from torch import nn


class Dropout(nn.Module):
    \"\"\"As keras.layers.Dropout with the backend torch.\"\"\"

    __module__ = "keras.layers"

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x, training=False):
        return nn.functional.dropout(x, self.rate, training)


model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Dropout(0.2), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    instead="""\
`model(x, training=self.training)` around Keras's layers, which hands the mode on; or torch's layers. Keras's own `fit`
and `predict` pass `training` themselves.""",
    reference="Keras 3, `Layer.__call__`: the argument `training`.",
    live=live,
)
