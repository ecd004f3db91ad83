"""Dropout of channels on an input that has none is flagged, on an input that has them it is not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn307_channel_dropout_on_other_axes")


@pytest.mark.parametrize(
    ("layer", "sizes", "said"),
    [
        (nn.Dropout2d(0.2), (8, 16), "Dropout2d on a 2-D input [8, 16]: it has no axes after the channels"),
        (nn.Dropout3d(0.2), (8, 16), "Dropout3d on a 2-D input [8, 16]: torch takes it for one example"),
        (nn.Dropout3d(0.2), (8, 4, 16), "which of a batch are whole samples. Use Dropout1d for (N, C, L)"),
        (
            nn.Dropout3d(0.2),
            (8, 4, 6, 16),
            "Use Dropout2d for (N, C, H, W), or give a volume (C, D, H, W) a batch axis",
        ),
        (nn.Dropout2d(0.2), (8, 4, 6, 16), ""),
        (nn.Dropout3d(0.2), (2, 4, 3, 3, 16), ""),
        (nn.Dropout2d(0.2), (8, 4, 16), ""),  # THN305
        (nn.Dropout1d(0.2), (8, 16), ""),  # THN306
        (nn.Dropout(0.2), (8, 16), ""),
    ],
)
def test_by_the_number_of_axes(findings: Findings, layer: nn.Module, sizes: tuple[int, ...], said: str) -> None:
    found = findings(nn.Sequential(nn.Linear(16, 16), layer, nn.Linear(16, 2)), torch.randn(sizes))
    assert [said in finding.message for finding in found] == [True] * bool(said)


def test_by_function(findings: Findings) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(F.dropout2d(self.layer(x), 0.2, self.training))
            return out

    (finding,) = findings(Net(), torch.randn(8, 16))
    assert finding.message.startswith("Dropout2d on a 2-D input")
    assert findings(nn.Sequential(nn.Linear(16, 16), nn.Dropout2d(0.0), nn.Linear(16, 2)), torch.randn(8, 16)) == []
