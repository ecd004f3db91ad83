"""On a GPU a prediction has the networks that it has on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.models import made

import thinned

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU: torch.cuda.is_available() is False"
)


@pytest.mark.parametrize("kind", ["MLP", "CNN", "transformer layer", "LSTM"])
def test_samples_are_the_cpu_s(kind: str) -> None:
    model, x = made(kind, 5)
    here = thinned.predict(model, x, n=4, seed=7, samples=True).samples
    there = thinned.predict(copy.deepcopy(model).cuda(), x, n=4, seed=7, samples=True).samples
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)
