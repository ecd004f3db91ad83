"""The first two moments of every variant against the closed forms, within four standard errors of a fixed key's draws.

A row of the variants table names its law; the law names the closed forms. Draws are independent along unshared axes, so
the statistics are taken over those and one entry of every shared axis.
"""

from __future__ import annotations

import math

import pytest
import torch

from thinned.nn.selu import SELU_SATURATION
from thinned.nn.variants import VARIANTS, Variant
from thinned.noise import realised

CASES = [
    (variant, scaling)
    for variant in VARIANTS
    if variant.keyed
    for scaling in (["inverted", "classic"] if "classic" in variant.scaling else [None])
]
DRAWS = 200_000
VALUE = 1.5


def draws(variant: Variant, p: float, scaling: str | None) -> torch.Tensor:
    """About 200,000 independent outputs for the constant input 1.5."""
    layout = variant.layout.split()
    shared = set(variant.shared.split())
    free = [axis for axis in layout if axis not in shared]
    side = round(DRAWS ** (1 / len(free)))
    x = torch.full([side if axis in free else 2 for axis in layout], VALUE, dtype=torch.float64)
    arguments = {} if scaling is None else {"scaling": scaling}
    y: torch.Tensor = variant.module(p=p, **arguments)(x, key=2024)
    for dim, axis in enumerate(layout):
        if axis in shared:
            first, second = y.unbind(dim)
            assert torch.equal(first, second)
            y = first.unsqueeze(dim)
    return y.flatten()


def closed_form(law: str, scaling: str | None, p: float) -> tuple[float, float, float]:
    """Mean, variance and fourth central moment of the output for the input 1.5."""
    q = 1 - p
    if law == "gaussian":
        variance = VALUE**2 * p / q
        return VALUE, variance, 3 * variance**2
    if law == "bernoulli":
        kept, dropped = (VALUE if scaling == "classic" else VALUE / q), 0.0
    else:
        a = (q + SELU_SATURATION**2 * q * p) ** -0.5
        b = -a * p * SELU_SATURATION
        kept, dropped = a * VALUE + b, a * SELU_SATURATION + b
    mean = q * kept + p * dropped
    spread = kept - dropped
    return mean, spread**2 * p * q, spread**4 * p * q * (p**3 + q**3)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize(("row", "scaling"), CASES, ids=lambda value: getattr(value, "name", value))
def test_moments(row: Variant, scaling: str | None, p: float) -> None:
    y = draws(row, p, scaling)
    mean, variance, fourth = closed_form(row.law, scaling, p if row.law == "gaussian" else realised(p))
    n = y.numel()
    assert abs(y.mean().item() - mean) < 4 * math.sqrt(variance / n)
    assert abs((y - mean).square().mean().item() - variance) < 4 * math.sqrt((fourth - variance**2) / n) + 1e-12


@pytest.mark.parametrize("p", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_zero_and_variance_one(name: str, p: float) -> None:
    (variant,) = (row for row in VARIANTS if row.name == name)
    n = 100_000
    x = torch.randn(n, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    y = variant.module(p=p)(x[..., 0] if name == "AlphaDropout" else x, key=77).flatten()
    assert abs(y.mean().item()) < 4 / math.sqrt(2 * n)
    # The fourth central moment of the mixture a * Normal(0, 1) + b with probability q, a * s + b with probability p.
    q = 1 - realised(p)
    a = (q + SELU_SATURATION**2 * q * (1 - q)) ** -0.5
    b = -a * (1 - q) * SELU_SATURATION
    fourth = q * (3 * a**4 + 6 * a**2 * b**2 + b**4) + (1 - q) * (a * SELU_SATURATION + b) ** 4
    assert abs(y.var().item() - 1) < 4 * math.sqrt((fourth - 1) / (2 * n))
