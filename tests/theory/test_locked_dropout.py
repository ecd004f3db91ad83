"""What one mask for a sequence does: the variance of a sum over T steps is T^2 p/q, not T p/q."""

from __future__ import annotations

import math

import pytest
import torch

from thinned.nn import Dropout, LockedDropout
from thinned.noise import realised

STEPS, SEQUENCES, FEATURES = 12, 100, 500


@pytest.mark.parametrize("p", [0.2, 0.5])
@pytest.mark.parametrize(("layer", "power"), [(LockedDropout, 2), (Dropout, 1)])
def test_variance_of_a_sum_over_time(layer: type[torch.nn.Module], power: int, p: float) -> None:
    total = layer(p)(torch.ones(STEPS, SEQUENCES, FEATURES, dtype=torch.float64), key=81).sum(0).flatten()
    n = len(total)
    dropped = realised(p)
    q = 1 - dropped
    variance = STEPS**power * dropped / q
    # Cumulants of independent terms add; a locked sum is STEPS times one term.
    cumulant = STEPS ** (4 if power == 2 else 1) * dropped * q * (1 - 6 * dropped * q) / q**4
    error = math.sqrt((3 * variance**2 + cumulant - variance**2) / n)
    assert abs(total.mean().item() - STEPS) < 4 * math.sqrt(variance / n)
    assert abs((total - STEPS).square().mean().item() - variance) < 4 * error + 1e-9
