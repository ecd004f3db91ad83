"""A dropout in place is flagged where torch's backward pass fails because of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn206_inplace_needed_for_backward")


def test_it_names_the_one_to_blame(findings: Findings) -> None:
    dropouts = nn.Dropout(0.2, inplace=True), nn.Dropout(0.2, inplace=True)
    model = nn.Sequential(nn.Linear(16, 64), dropouts[0], nn.Tanh(), nn.Linear(64, 8), nn.Sigmoid(), dropouts[1])
    (finding,) = findings(nn.Sequential(model, nn.Linear(8, 4)), torch.randn(8, 16))
    assert finding.place == "0.5"
    assert "modified by an inplace operation" in finding.message
    assert all(dropout.inplace for dropout in dropouts)
    assert all(weight.grad is None for weight in model.parameters())


def test_a_functional_one(findings: Findings) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(16, 64), nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x).sigmoid()
            out: Tensor = self.last(nn.functional.dropout(h, 0.2, self.training, inplace=True))
            return out

    (finding,) = findings(Network(), torch.randn(8, 16))
    assert finding.place == ":dropout"


def test_safe_ones_are_left_alone(findings: Findings) -> None:
    model = nn.Sequential(nn.Linear(16, 64), nn.Dropout(0.2, inplace=True), nn.Hardswish(), nn.Linear(64, 4))
    assert findings(model, torch.randn(8, 16)) == []


def test_all_places_of_a_line_at_once(findings: Findings) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.safe, self.fatal = nn.Linear(8, 8), nn.Dropout(0.2, True), nn.Dropout(0.2, True)

        def forward(self, x: Tensor) -> Tensor:
            h = self.safe(self.layer(x))
            out: Tensor = self.fatal(h.softmax(-1))
            return out

    (finding,) = findings(nn.Sequential(*(Block() for _ in range(3)), nn.Linear(8, 2)), torch.randn(4, 8))
    assert finding.place == "0.fatal"
    assert "(and 2 more places of this line)" in finding.message
