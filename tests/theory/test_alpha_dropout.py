"""Alpha dropout's affine pair, for any input of mean mu and variance nu:

    E[y] = a (q mu + p s) + b        Var[y] = a^2 (q nu + p q (s - mu)^2)

which a = (q + s^2 p q)^(-1/2) and b = -a p s make 0 and 1 at mu = 0, nu = 1.
"""

from __future__ import annotations

import math

import pytest
import torch

from thinned.nn import AlphaDropout
from thinned.nn.selu import SELU_SATURATION as S
from thinned.nn.selu import alpha_affine
from thinned.noise import realised

DRAWS = 200_000


def mean_and_variance(p: float, mu: float, nu: float) -> tuple[float, float]:
    a, b = alpha_affine(p)
    dropped = realised(p)
    q = 1 - dropped
    return a * (q * mu + dropped * S) + b, a**2 * (q * nu + dropped * q * (S - mu) ** 2)


def test_saturation_is_selu_s_limit() -> None:
    assert torch.nn.functional.selu(torch.tensor(-1e3, dtype=torch.float64)).item() == pytest.approx(S, rel=1e-12)


@pytest.mark.parametrize("p", [2**-16, 0.05, 0.1, 0.2, 0.5, 0.9, 1 - 2**-16])
def test_the_pair_keeps_mean_zero_and_variance_one(p: float) -> None:
    mean, variance = mean_and_variance(p, 0.0, 1.0)
    assert mean == pytest.approx(0.0, abs=1e-12)
    assert variance == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("p", "a", "b"),
    [(0.05, 0.954844, 0.083936), (0.1, 0.921285, 0.161971), (0.2, 0.878904, 0.309040), (0.5, 0.886405, 0.779194)],
)
def test_the_pairs_that_the_documentation_prints(p: float, a: float, b: float) -> None:
    assert alpha_affine(p) == pytest.approx((a, b), abs=1e-5)  # p is realised in 16 bits


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_other_inputs_follow_the_general_formula(p: float) -> None:
    """The fourth central moment is that of the mixture of a Normal with probability q and a point with p."""
    mu, nu = 0.7, 1.3
    z = torch.randn(DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(13))
    y = AlphaDropout(p)(mu + math.sqrt(nu) * z, key=71)
    mean, variance = mean_and_variance(p, mu, nu)
    a, b = alpha_affine(p)
    dropped = realised(p)
    normal, at = a**2 * nu, a * mu + b - mean
    fourth = (1 - dropped) * (at**4 + 6 * at**2 * normal + 3 * normal**2) + dropped * (a * S + b - mean) ** 4
    assert abs(y.mean().item() - mean) < 4 * math.sqrt(variance / DRAWS)
    assert abs((y - mean).square().mean().item() - variance) < 4 * math.sqrt((fourth - variance**2) / DRAWS)
    assert abs(mean) > 0.1
