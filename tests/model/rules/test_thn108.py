"""Masks in evaluation mode are flagged; samples, choices and diffusion noise are not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn108_noise_in_eval")


def test_a_module_that_is_always_on(findings: Findings) -> None:
    class Always(nn.Dropout):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x, self.p, True)

    (finding,) = findings(nn.Sequential(nn.Linear(8, 8), Always(0.2), nn.Linear(8, 2)), torch.randn(4, 8))
    assert finding.place == "1"
    assert "as in training" in finding.message


def test_a_mask_that_is_drawn_in_evaluation_only(findings: Findings) -> None:
    class Inverted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if self.training else x * torch.empty_like(x).bernoulli_(0.7)

    (finding,) = findings(nn.Sequential(nn.Linear(8, 8), Inverted(), nn.Linear(8, 2)), torch.randn(4, 8))
    assert "and not in training" in finding.message


def test_other_random_numbers_are_left_alone(findings: Findings) -> None:
    class Sampling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x + torch.exp(x) * torch.randn_like(x)  # a latent variable
            kept = torch.rand(x.shape[1]).argsort()[:5]  # patches of a masked autoencoder
            return x[:, kept] + 0.1 * torch.randn(5)

    model = nn.Sequential(nn.Linear(8, 8), Sampling(), nn.Dropout(0.2), nn.Linear(5, 2))
    assert findings(model, torch.randn(4, 8)) == []
