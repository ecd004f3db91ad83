"""The rate of a mask made by hand is what was dropped, whichever of its two values is kept; what is said is true."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import thinned.nn

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


def test_what_becomes_of_the_rest(findings: Findings) -> None:
    x = torch.randn(8, 64, 4)
    said = {
        nn.Dropout: "drops 90 % and multiplies the rest by 10:",
        nn.AlphaDropout: "sets 90 % to one value and the rest to 1.63 x + 2.57:",
        nn.FeatureAlphaDropout: "sets 90 % to one value and the rest to 1.63 x + 2.57:",
        thinned.nn.AlphaDropout: "sets 90 % to one value and the rest to 1.63 x + 2.57:",
        thinned.nn.GaussianDropout: "multiplies by noise of standard deviation 3:",
        thinned.nn.StochasticDepth: "drops 90 % and multiplies the rest by 10:",
    }
    for layer, expected in said.items():
        (finding,) = findings(nn.Sequential(layer(0.9)), x)
        assert f"`{layer.__name__}` {expected} is p = 0.9 a keep probability?" == finding.message


def test_what_alpha_dropout_makes_of_the_rest() -> None:
    x, y = torch.linspace(-1, 1, 1001, dtype=torch.float64), torch.zeros(1001, dtype=torch.float64)
    while (y == y.mode().values).all() or y.unique().numel() < 20:
        y = nn.functional.alpha_dropout(x, 0.9, True)
    kept = y != y.mode().values
    slope = torch.diff(y[kept]) / torch.diff(x[kept])
    assert slope.median().item() == pytest.approx(1.63, abs=0.005)
    assert (y - slope.median() * x)[kept].median().item() == pytest.approx(2.57, abs=0.005)


def test_scaling_that_is_not_known_is_not_told(findings: Findings) -> None:
    class Dropout(nn.Dropout):
        def forward(self, x: Tensor) -> Tensor:
            return x * (torch.rand_like(x) > self.p) if self.training else x

    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (torch.rand_like(x) > 0.9) if self.training else x

    for layer, kind in ((Dropout(0.9), "Dropout"), (Masked(), "rand_like")):
        (finding,) = findings(nn.Sequential(nn.Linear(8, 64), layer), torch.randn(8, 8))
        assert finding.message == f"`{kind}` drops 90 %: is p = 0.9 a keep probability?"
