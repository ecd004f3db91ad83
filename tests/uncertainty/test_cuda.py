"""On a GPU a prediction has the networks that it has on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import thinned

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU: torch.cuda.is_available() is False"
)

MODELS = {
    "MLP": (nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 2)), (6,)),
    "CNN": (nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout2d(0.4), nn.Flatten()), (3, 6, 6)),
    "transformer": (nn.TransformerEncoderLayer(8, 2, 16, 0.3, batch_first=True), (5, 8)),
    "LSTM": (nn.Sequential(nn.LSTM(6, 7, 2, dropout=0.4, batch_first=True)), (5, 6)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_samples_are_the_cpu_s(kind: str) -> None:
    model, row = MODELS[kind]
    x = torch.randn(5, *row)
    here = thinned.predict(model, x, n=4, seed=7, samples=True).samples
    there = thinned.predict(copy.deepcopy(model).cuda(), x, n=4, seed=7, samples=True).samples
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)
