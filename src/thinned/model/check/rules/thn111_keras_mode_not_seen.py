"""THN111: dropout of Keras, which follows an argument of the call and not the mode of the module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.nn import Module

from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule

_RATES = ("rate", "dropout", "dropout_rate", "recurrent_dropout")  # attributes of Keras's layers


def live(examination: Examination) -> Iterator[Finding]:
    inside: list[str] = []
    for name, module in examination.modules.items():
        if not _is_keras(module) or any(not outer or name.startswith(f"{outer}.") for outer in inside):
            continue
        inside.append(name)
        dropouts = [layer for layer in _layers(module) if any(_rate(layer, key) for key in _RATES)]
        if not dropouts or any(
            place.train_calls and (not name or f"{place.module}.".startswith(f"{name}."))
            for place in examination.inspection.places
        ):
            continue
        said = ", ".join(dict.fromkeys(str(getattr(layer, "name", type(layer).__name__)) for layer in dropouts[:5]))
        yield RULE.at(
            name or "the model",
            f"{type(module).__name__} is Keras's, whose dropout ({said}{', ...' if len(dropouts) > 5 else ''}) follows "
            "the call's `training=` and not train() and eval(): nothing here has seen it. Pass training=self.training",
        )


def _is_keras(module: Module) -> bool:
    return any(
        base.__module__.partition(".")[0] in ("keras", "tf_keras", "keras_core") for base in type(module).__mro__
    )


def _layers(module: Module) -> list[Any]:
    """A Keras layer and the layers in it. Keras does not register all of them as submodules."""
    flatten = getattr(module, "_flatten_layers", None)
    return [*module.modules(), *(flatten() if callable(flatten) else ())]


def _rate(layer: Any, key: str) -> bool:
    value = getattr(layer, key, None)
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


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
