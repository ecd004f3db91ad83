"""How many blocks stochastic depth runs: L - p_L (L + 1) / 2 with rates that grow linearly to p_L."""

from __future__ import annotations

import math

import pytest
import torch

from thinned.nn import StochasticDepth, linear_decay
from thinned.noise import fold_in, realised


@pytest.mark.parametrize(("p", "depth"), [(0.5, 54), (0.2, 54), (0.5, 4), (1.0, 10), (0.0, 3)])
def test_expected_number_of_blocks(p: float, depth: int) -> None:
    assert depth - sum(linear_decay(p, depth)) == pytest.approx(depth - p * (depth + 1) / 2, rel=1e-14)


def test_the_paper_s_network_keeps_40_of_54_blocks() -> None:
    """110 layers, 54 blocks, the last kept half the time: 40.25 run, 25.5 % saved."""
    rates = linear_decay(0.5, 54)
    assert 54 - sum(rates) == pytest.approx(40.25, rel=1e-14)
    samples = 20_000
    branch = torch.ones(samples, 1)
    kept = sum((StochasticDepth(p)(branch, key=fold_in(31, block)) > 0).double() for block, p in enumerate(rates))
    assert isinstance(kept, torch.Tensor)
    dropped = [realised(p) for p in rates]
    error = math.sqrt(sum(p * (1 - p) for p in dropped) / samples)
    assert abs(kept.mean().item() - (54 - sum(dropped))) < 4 * error
    assert sum(rates) / 54 == pytest.approx(0.255, abs=5e-4)
