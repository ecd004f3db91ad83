"""Dropout directly before batch normalisation: the running variance is not the variance at inference.

    Var_test / Var_train = q v / (v + p c^2)    for an input of mean c and variance v

measured through `torch.nn.BatchNorm1d`'s own running statistics, on data whose moments are known exactly; and the
cure, running statistics estimated again with dropout off (docs/design/theory.md, "Beside normalisation layers").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from thinned.nn import Dropout
from thinned.noise import fold_in, realised

BATCHES, ROWS, CHANNELS = 40, 256, 40


@dataclass(frozen=True)
class Source:
    """Data and its first four raw moments."""

    transform: Callable[[Tensor], Tensor]  # of standard normals
    moments: tuple[float, float, float, float]

    @property
    def mean(self) -> float:
        return self.moments[0]

    @property
    def variance(self) -> float:
        return self.moments[1] - self.mean**2


def gaussian(c: float, v: float) -> Source:
    return Source(lambda z: c + math.sqrt(v) * z, (c, c**2 + v, c**3 + 3 * c * v, c**4 + 6 * c**2 * v + 3 * v**2))


SOURCES = {
    "mean 0": gaussian(0.0, 1.3),
    "mean 0.7": gaussian(0.7, 1.3),
    "ReLU": Source(torch.relu, (1 / math.sqrt(2 * math.pi), 0.5, math.sqrt(2 / math.pi), 1.5)),
}


def batches(source: Source, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return source.transform(torch.randn(BATCHES, ROWS, CHANNELS, dtype=torch.float64, generator=generator))


def relative_error(source: Source, p: float) -> float:
    """Standard error of the mean of all batches' and channels' unbiased variances of `x m / q`, over that variance."""
    q = 1 - p
    m1, m2, m3, m4 = (moment / q**k for k, moment in enumerate(source.moments))
    variance = m2 - m1**2
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    one_batch = (fourth - variance**2 * (ROWS - 3) / (ROWS - 1)) / ROWS
    return math.sqrt(one_batch / (BATCHES * CHANNELS)) / variance


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("name", SOURCES)
def test_variance_shift_and_its_cure(name: str, p: float) -> None:
    source = SOURCES[name]
    dropped = realised(p)
    q, c, v = 1 - dropped, source.mean, source.variance
    dropout = Dropout(p)
    norm = torch.nn.BatchNorm1d(CHANNELS, momentum=None, affine=False, dtype=torch.float64)

    for number, batch in enumerate(batches(source, 5)):
        norm(dropout(batch, key=fold_in(41, number)))
    assert norm.running_var is not None
    learned = norm.running_var.mean().item()
    noisy = relative_error(source, dropped)
    assert learned == pytest.approx(v / q + c**2 * dropped / q, rel=4 * noisy)

    norm.eval()
    dropout.eval()
    clean = relative_error(source, 0.0)
    error = 4 * math.hypot(noisy, clean)

    def variance_at_inference() -> float:
        return torch.stack([norm(dropout(batch)).var(0) for batch in batches(source, 6)]).mean().item()

    # What leaves the layer has variance Var_test / Var_train instead of 1.
    ratio = q * v / (v + dropped * c**2)
    assert ratio < 1 - error
    assert variance_at_inference() == pytest.approx(ratio, rel=error)

    norm.reset_running_stats()
    norm.train()
    for batch in batches(source, 7):
        norm(dropout(batch))
    norm.eval()
    assert variance_at_inference() == pytest.approx(1.0, rel=4 * math.hypot(clean, clean))


@pytest.mark.parametrize(("p", "ratio"), [(0.5, 0.405), (0.2, 0.732), (0.1, 0.860)])
def test_the_ratios_that_the_documentation_prints_for_relu(p: float, ratio: float) -> None:
    source = SOURCES["ReLU"]
    c, v = source.mean, source.variance
    assert c**2 / v == pytest.approx(0.467, abs=5e-4)
    assert (1 - p) * v / (v + p * c**2) == pytest.approx(ratio, abs=5e-4)


def test_layer_norm_has_no_running_statistics_to_go_stale() -> None:
    """It normalises each sample by its own statistics, thinned or not: variance 1 in both modes."""
    x = batches(SOURCES["ReLU"], 8)[0]
    dropout = Dropout(0.5)
    norm = torch.nn.LayerNorm(CHANNELS, eps=1e-12, elementwise_affine=False, dtype=torch.float64)
    for output in (norm(dropout(x, key=42)), norm(dropout.eval()(x))):
        torch.testing.assert_close(output.var(1, correction=0), torch.ones(ROWS, dtype=torch.float64))
