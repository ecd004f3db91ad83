"""THN305: Dropout2d on a 3-D input, which torch reads as (N, C, L) and users often mean as (C, H, W)."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        if place.kind in ("Dropout2d", "dropout2d") and len(place.shape) == 3 and place.train_calls:
            yield RULE.at(
                place,
                f"Dropout2d on a 3-D input {list(place.shape)}: torch takes it for (N, C, L) and drops whole "
                "rows of the last axis. For sequences (N, C, L) use Dropout1d; give a map (C, H, W) a batch axis",
            )


RULE = Rule(
    code="THN305",
    name="dropout2d-on-3d-input",
    summary="Dropout2d on a 3-D input.",
    what="""\
Flags `Dropout2d` and `F.dropout2d` that are given three axes. torch drops [n, c, :] whole, as if by `Dropout1d`,
warns, and announces that it will one day read (C, H, W).""",
    why="""\
What is dropped depends on how three axes are read: of (N, C, L) a channel; of a single map (C, H, W) a *row of
pixels* and not a channel; of (B, T, F) all features of a *time step*, not what was meant. Nothing fails.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Conv1d(4, 16, 3), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv1d(16, 4, 3))
example = (torch.randn(8, 4, 32),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Conv1d(4, 16, 3), nn.ReLU(), nn.Dropout1d(0.2), nn.Conv1d(16, 4, 3))
example = (torch.randn(8, 4, 32),)
""",
    instead="`Dropout1d` for (N, C, L), `LockedDropout` for (B, T, F), `x[None]` for a single map.",
    reference="pytorch issue 69801; the warning of `torch.nn.functional.dropout2d`.",
    live=live,
)
