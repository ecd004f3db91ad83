"""Dropout that the fused path swallows is flagged, where that path is taken."""

from __future__ import annotations

import torch
from torch import nn

from .conftest import Findings, rule

RULE = rule("thn105_fused_transformer_path")


def encoder(norm_first: bool = False) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


def monte_carlo(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    return model


def test_each_layer_is_named_and_modes_are_as_they_were(findings: Findings) -> None:
    model = monte_carlo(encoder())
    assert [finding.place for finding in findings(model, torch.randn(2, 5, 16))] == ["layers.0", "layers.1"]
    assert not model.training
    assert sum(module.training for module in model.modules()) == 6


def test_what_is_claimed_is_so() -> None:
    model, x = monte_carlo(encoder()), torch.randn(2, 5, 16)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
    assert not torch.equal(model(x), model(x))


def test_evaluation_training_and_the_slow_path_are_left_alone(findings: Findings) -> None:
    x = torch.randn(2, 5, 16)
    assert findings(encoder(), x) == []
    assert findings(encoder().train(), x) == []
    slow = nn.TransformerEncoderLayer(16, 2, 32, activation=nn.functional.silu, batch_first=True).eval()
    assert findings(monte_carlo(slow), x) == []
