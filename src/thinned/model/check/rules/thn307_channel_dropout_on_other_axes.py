"""THN307: Dropout2d or Dropout3d on an input without the axes that it is for."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        axes = len(place.shape)
        if not place.train_calls or axes < 2:
            continue
        if place.kind in ("Dropout2d", "dropout2d") and axes == 2:
            what = "it has no axes after the channels, so single numbers are dropped. Use Dropout"
        elif place.kind in ("Dropout3d", "dropout3d") and axes < 5:
            what = (
                "torch takes it for one example (C, ...) and drops whole slices of the first axis, which of a batch "
                f"are whole samples. Use {_INSTEAD[axes]}"
            )
        else:
            continue
        yield RULE.at(place, f"{place.kind[0].upper()}{place.kind[1:]} on a {axes}-D input {list(place.shape)}: {what}")


_INSTEAD = {
    2: "Dropout for features (N, F)",
    3: "Dropout1d for (N, C, L)",
    4: "Dropout2d for (N, C, H, W), or give a volume (C, D, H, W) a batch axis",
}
RULE = Rule(
    code="THN307",
    name="channel-dropout-on-other-axes",
    summary="Dropout2d or Dropout3d on an input without the axes that it is for.",
    what="""\
Flags `Dropout2d` and `F.dropout2d` that are given two axes, and `Dropout3d` and `F.dropout3d` that are given fewer than
five. `Dropout2d` on three axes is THN305, `Dropout1d` on two THN306.""",
    why="""\
On (N, F) `Dropout2d` drops single numbers, as `Dropout` does: nothing is wrong but the name, until torch makes an error
of it, as its warning says. `Dropout3d` puts a batch axis before what has none and drops [0, c, ...] whole: of (N, C, H,
W) and of (N, F) these are *samples*. A sample of zeros is learned from the biases alone, and no channel is ever
dropped. With four axes nothing warns.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout2d(0.2), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    instead="`Dropout` for features (N, F), `Dropout1d` for (N, C, L), `Dropout2d` for (N, C, H, W).",
    reference="The warnings of `torch.nn.functional.dropout2d` and `dropout3d`; pytorch issue 77081.",
    live=live,
)
