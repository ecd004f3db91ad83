"""Live dropout in a frozen part is flagged, behind adapters and in inference it is not."""

from __future__ import annotations

import torch
from torch import nn

from .conftest import Findings, rule

RULE = rule("thn205_dropout_in_frozen_block")


def frozen() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 16)).requires_grad_(False)


def test_it_names_the_block(findings: Findings) -> None:
    model = nn.Sequential(frozen(), frozen(), nn.Linear(16, 4))
    assert [finding.place for finding in findings(model, torch.randn(8, 16))] == ["0.2", "1.2"]
    assert "live in '0'" in findings(model, torch.randn(8, 16))[0].message


def test_behind_something_trained_it_is_left_alone(findings: Findings) -> None:
    assert findings(nn.Sequential(nn.Linear(16, 16), frozen(), nn.Linear(16, 4)), torch.randn(8, 16)) == []


def test_frozen_embeddings_and_models_that_train_nothing_are_left_alone(findings: Findings) -> None:
    embedding = nn.Sequential(nn.Embedding(20, 16), nn.LayerNorm(16), nn.Dropout(0.1)).requires_grad_(False)
    assert findings(nn.Sequential(embedding, nn.Linear(16, 4)), torch.randint(0, 20, (2, 7))) == []
    assert findings(nn.Sequential(frozen(), frozen()), torch.randn(8, 16)) == []
