"""Dropout1d on two axes is flagged, on three it is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn306_dropout1d_on_2d_input")


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout1d(x.relu(), 0.2, self.training)


def test_by_function(findings: Findings) -> None:
    assert [finding.place for finding in findings(Functional(), torch.randn(8, 16))] == [":dropout1d"]


def test_sequences_and_features_are_left_alone(findings: Findings) -> None:
    assert findings(Functional(), torch.randn(4, 8, 16)) == []
    assert findings(nn.Sequential(nn.ReLU(), nn.Dropout(0.2)), torch.randn(8, 16)) == []
