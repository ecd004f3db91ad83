"""What weight scaling averages: the renormalised geometric mean of all thinned networks, exactly for one softmax layer.

All 2^10 masks of softmax(W (m * x) + b) are enumerated, each with its probability (docs/design/theory.md, "Why it
works").
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from thinned.nn import Dropout
from thinned.noise import realised

UNITS, CLASSES, HIDDEN = 10, 4, 6


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]


def masks(p: float) -> tuple[Tensor, Tensor]:
    """All masks, `(2^10, 10)`, and the probability of each."""
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=UNITS)), dtype=torch.float64)
    kept = every.sum(1)
    dropped = realised(p)
    return every, (1 - dropped) ** kept * dropped ** (UNITS - kept)


def geometric(log_probabilities: Tensor, chances: Tensor) -> Tensor:
    return (chances @ log_probabilities).softmax(-1)


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_weight_scaling_is_the_geometric_mean_of_a_softmax_layer(p: float, scaling: str) -> None:
    weight, bias, x = tensors((CLASSES, UNITS), (CLASSES,), (UNITS,))
    every, chances = masks(p)
    assert chances.sum() == pytest.approx(1.0, abs=1e-12)
    thinned = every * x / (1 - realised(p) if scaling == "inverted" else 1.0)
    log_probabilities = (thinned @ weight.T + bias).log_softmax(-1)
    scaled = (weight @ Dropout(p, scaling=scaling).eval()(x) + bias).softmax(-1)
    torch.testing.assert_close(geometric(log_probabilities, chances), scaled, rtol=0, atol=1e-12)
    # What Monte Carlo dropout averages is the arithmetic mean, another and a softer prediction.
    arithmetic = chances @ log_probabilities.exp()
    assert (arithmetic - scaled).abs().max() > 1e-2


def test_through_a_hidden_layer_it_is_an_approximation() -> None:
    first, second, x = tensors((HIDDEN, UNITS), (CLASSES, HIDDEN), (UNITS,))
    every, chances = masks(0.5)
    log_probabilities = ((every * x * 2 @ first.T).relu() @ second.T).log_softmax(-1)
    scaled = (second @ (first @ x).relu()).softmax(-1)
    gap = (geometric(log_probabilities, chances) - scaled).abs().max()
    assert 1e-3 < gap < 0.5


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_the_layer_s_keys_converge_to_the_geometric_mean(p: float) -> None:
    weight, bias, x = tensors((CLASSES, UNITS), (CLASSES,), (UNITS,))
    layer = Dropout(p)
    draws = 50_000
    sampled = (layer(x.expand(draws, UNITS), key=11) @ weight.T + bias).log_softmax(-1)
    every, chances = masks(p)
    log_probabilities = (every * x / (1 - realised(p)) @ weight.T + bias).log_softmax(-1)
    mean = chances @ log_probabilities
    error = (chances @ (log_probabilities - mean).square()).sqrt() / math.sqrt(draws)
    assert ((sampled.mean(0) - mean).abs() < 4 * error).all()
    # In the logits nothing is left but the mean of a linear map, so the geometric mean of the draws finds the scaled
    # network; the arithmetic mean of the very same draws does not.
    scaled = (weight @ layer.eval()(x) + bias).softmax(-1)
    assert (sampled.mean(0).softmax(-1) - scaled).abs().max() < 8 * error.max()
    assert (sampled.exp().mean(0) - scaled).abs().max() > 1e-2


def test_every_mask_is_drawn_as_often_as_it_is_likely() -> None:
    """The enumeration above is of the masks that the layer draws: each of the 1024 within 5 standard errors."""
    p, draws = 0.5, 200_000
    kept = Dropout(p)(torch.ones(draws, UNITS), key=12) > 0
    index = (kept.long() * 2 ** torch.arange(UNITS - 1, -1, -1)).sum(1)
    counts = torch.bincount(index, minlength=2**UNITS).double()
    _, chances = masks(p)
    expected = draws * chances
    assert ((counts - expected).abs() < 5 * (expected * (1 - chances)).sqrt()).all()
