"""The rate of a mask made by hand is what was dropped, whichever of its two values is kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn402_p_above_four_fifths")


def test_a_mask_that_says_what_is_dropped(findings: Findings) -> None:
    class Masked(nn.Module):
        def __init__(self, q: float) -> None:
            super().__init__()
            self.q = q

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                return x
            return x.masked_fill(torch.empty_like(x).bernoulli_(self.q) == 1, 0.0) / (1 - self.q)

    assert findings(nn.Sequential(nn.Linear(8, 64), Masked(0.1)), torch.randn(8, 8)) == []
    (finding,) = findings(nn.Sequential(nn.Linear(8, 64), Masked(0.9)), torch.randn(8, 8))
    assert "drops 90 %" in finding.message
