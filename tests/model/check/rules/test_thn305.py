"""Dropout2d on three axes is flagged, by module and by function; on four it is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn305_dropout2d_on_3d_input")


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout2d(x.relu(), 0.2, self.training)


def test_by_function(findings: Findings) -> None:
    assert [finding.place for finding in findings(Functional(), torch.randn(4, 8, 16))] == [":dropout2d"]


def test_maps_are_left_alone(findings: Findings) -> None:
    assert findings(Functional(), torch.randn(2, 4, 8, 8)) == []
    assert findings(nn.Sequential(nn.ReLU(), nn.Dropout1d(0.2)), torch.randn(4, 8, 16)) == []
