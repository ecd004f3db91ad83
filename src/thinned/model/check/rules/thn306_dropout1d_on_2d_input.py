"""THN306: Dropout1d on a 2-D input, which drops whole samples."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        if place.kind in ("Dropout1d", "dropout1d") and len(place.shape) == 2 and place.train_calls:
            yield RULE.at(
                place,
                f"Dropout1d on a 2-D input {list(place.shape)}: torch takes it for one sample (C, L) and drops whole "
                "rows, which of (N, F) are whole samples. Use Dropout for features",
            )


RULE = Rule(
    code="THN306",
    name="dropout1d-on-2d-input",
    summary="Dropout1d on a 2-D input.",
    what="""\
Flags `Dropout1d` and `F.dropout1d` that are given two axes. torch reads them as one sample without a batch axis, (C,
L), and drops a row [c, :] whole.""",
    why="""\
A batch of feature vectors is (N, F) too: its rows are samples. With probability p a sample is all zeros, its target
is learned from the biases alone, and single features are never dropped. Nothing fails and nothing warns.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout1d(0.2), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    instead="`Dropout` for features (N, F); `x[None]` for a single sequence (C, L).",
    reference="`torch.nn.Dropout1d`: input (N, C, L) or (C, L).",
    live=live,
)
