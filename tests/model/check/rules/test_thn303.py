"""Zeroing dropout beside SELU is flagged, alpha dropout and other activations are not."""

from __future__ import annotations

import torch
from torch import nn

from .conftest import Findings, rule

RULE = rule("thn303_zeroing_around_selu")


def test_before_behind_and_for_channels(findings: Findings) -> None:
    before = nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1), nn.SELU(), nn.Linear(16, 4))
    assert "before SELU" in findings(before, torch.randn(8, 16))[0].message
    channels = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SELU(), nn.Dropout2d(0.1), nn.Conv2d(8, 4, 3))
    assert "FeatureAlphaDropout" in findings(channels, torch.randn(2, 3, 8, 8))[0].message


def test_others_are_left_alone(findings: Findings) -> None:
    alpha = nn.Sequential(nn.Linear(16, 16), nn.SELU(), nn.AlphaDropout(0.1), nn.Linear(16, 4))
    elsewhere = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4), nn.SELU())
    for model in (alpha, elsewhere):
        assert findings(model, torch.randn(8, 16)) == []
