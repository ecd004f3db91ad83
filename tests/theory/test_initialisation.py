"""Inverted dropout multiplies the next pre-activation's second moment by 1/q, classic by q: L layers, by its power L.

He's weights have variance gain^2 / n with gain^2 = 2. Mean and variance over weights and masks are known exactly:
given the dropped input d, a pre-activation is Normal(0, gain^2 mean(d^2)), whose ReLU has second moment 1/2 and fourth
moment 3/2 of the normal's powers. So over one layer of width n, E[S^2] / E[S]^2 grows by 1 + (5 + 6 p/q) / n, and
the mean over networks has a standard error without approximation (docs/design/theory.md, "Initialisation and depth").
"""

from __future__ import annotations

import math

import pytest
import torch

from thinned.nn import Dropout
from thinned.noise import fold_in, realised

NETWORKS, WIDTH, DEPTH = 60, 512, 8


def second_moments(p: float, scaling: str, gain: float) -> torch.Tensor:
    """Mean square of the last hidden layer of `NETWORKS` independent networks on an input of +1 and -1."""
    generator = torch.Generator().manual_seed(4)
    dropout = Dropout(p, scaling=scaling)
    result = []
    for network in range(NETWORKS):
        h = torch.ones(WIDTH)
        h[::2] = -1.0
        for layer in range(DEPTH):
            weight = torch.randn(WIDTH, WIDTH, generator=generator)
            h = (weight @ dropout(h, key=fold_in(network, layer)) * (gain / math.sqrt(WIDTH))).relu()
        result.append(h.square().mean())
    return torch.stack(result).double()


@pytest.mark.long
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize(("p", "scaling"), [(0.2, "inverted"), (0.5, "inverted"), (0.5, "classic")])
def test_the_second_moment_drifts_with_depth_unless_the_gain_is_corrected(
    p: float, scaling: str, corrected: bool
) -> None:
    q = 1 - realised(p)
    drift = q if scaling == "classic" else 1 / q
    moments = second_moments(p, scaling, math.sqrt(2 / drift if corrected else 2.0))
    expected = 1.0 if corrected else drift**DEPTH
    ratio = (1 - q) / q
    relative = (1 + 5 / WIDTH) * (1 + ratio / WIDTH) * (1 + (5 + 6 * ratio) / WIDTH) ** (DEPTH - 1) - 1
    error = 4 * math.sqrt(relative / NETWORKS)
    assert error < 0.25
    assert moments.mean().item() == pytest.approx(expected, rel=error)
