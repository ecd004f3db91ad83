"""Much dropout on the raw input is pointed out, and only on the raw input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn202_dropout_on_input")


def test_through_views_and_scaling(findings: Findings) -> None:
    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.layer = nn.Dropout(0.5), nn.Linear(48, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(self.dropout((x.flatten(1) - 0.5) / 0.25))
            return out

    (finding,) = findings(Images(), torch.rand(2, 3, 4, 4))
    assert "p = 0.5" in finding.message


def test_a_little_and_embeddings_are_left_alone(findings: Findings) -> None:
    assert findings(nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 4)), torch.randn(8, 16)) == []
    words = torch.randint(0, 20, (4, 7))
    assert findings(nn.Sequential(nn.Embedding(20, 16), nn.Dropout(0.5), nn.Linear(16, 4)), words) == []


def test_a_learned_value_in_place_of_what_is_masked_is_left_alone(findings: Findings) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.mask = nn.Linear(8, 8), nn.Parameter(torch.zeros(8))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                x = torch.where(torch.rand(x.shape[:2])[..., None] < 0.4, self.mask, x)
            out: Tensor = self.layer(x)
            return out

    assert findings(Masked(), torch.randn(4, 9, 8)) == []
