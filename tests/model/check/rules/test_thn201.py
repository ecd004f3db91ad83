"""Dropout on logits is flagged, dropout on a backbone's features is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn201_dropout_on_output")


def test_through_softmax_and_by_function(findings: Findings) -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(self.layer(x), 0.2, self.training).log_softmax(-1)

    (finding,) = findings(Classifier(), torch.randn(8, 16))
    assert finding.place == ":dropout"


def test_one_of_several_outputs(findings: Findings) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.left, self.right = nn.Linear(16, 16), nn.Linear(16, 4), nn.Linear(16, 2)
            self.dropout = nn.Dropout(0.2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.body(x).relu()
            return {"left": self.left(h), "right": self.dropout(self.right(h))}

    (finding,) = findings(Two(), torch.randn(8, 16))
    assert finding.place == "dropout"


def test_features_and_residual_branches_are_left_alone(findings: Findings) -> None:
    features = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.2))
    normed = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Dropout(0.2))
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True, norm_first=True)
    for model, shape in ((features, (8, 16)), (normed, (8, 16)), (layer, (2, 5, 16))):
        assert findings(model, torch.randn(shape)) == []
