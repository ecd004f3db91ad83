"""The variance shift before batch normalisation is measured, and reported where it matters."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn501_dropout_before_batch_norm")


def measured(message: str) -> float:
    return float(message.split("sees ")[1].split(" times")[0])


def test_the_formula_behind_a_relu(findings: Findings) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm1d(64))
    (finding,) = findings(model, torch.randn(2000, 64))
    # q v / (v + p c^2), with c^2 / v = 0.467 for a ReLU of normal numbers.
    assert abs(measured(finding.message) - 0.8 / (1 + 0.2 * 0.467)) < 0.02


def test_a_layer_between_and_the_worst_is_named_once(findings: Findings) -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout2d(0.5), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
    (finding,) = findings(nn.Sequential(layers, nn.Flatten(), nn.Linear(8 * 144, 2)), torch.rand(16, 3, 16, 16))
    assert finding.place == "0.2"
    assert "'0.4'" in finding.message


def test_behind_other_norms_and_small_shifts_are_left_alone(findings: Findings) -> None:
    behind = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    layer = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.LayerNorm(64), nn.BatchNorm1d(64))
    small = nn.Sequential(nn.ReLU(), nn.Dropout(0.02), nn.BatchNorm1d(16))
    for model in (behind, layer, small):
        assert findings(model, torch.randn(256, 16)) == []


def test_the_model_is_as_it_was(findings: Findings) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(16)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert findings(model, torch.randn(64, 16))
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


SKIPS: dict[str, Callable[[], bool]] = {
    "random": lambda: random.random() < 0.5,
    "NumPy": lambda: bool(np.random.rand() < 0.5),  # noqa: NPY002
    "torch": lambda: bool(torch.rand(()) < 0.5),
    "seldom": lambda: random.random() < 0.8,
}


class Skipping(nn.Module):
    """Branches side by side, some of which a pass in training leaves out."""

    def __init__(self, skips: Callable[[], bool]) -> None:
        super().__init__()
        self.skips = skips
        self.branches = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm1d(64), nn.Linear(64, 4)) for _ in range(12)
        )

    def forward(self, x: Tensor) -> Tensor:
        out = x.new_zeros(len(x), 4)
        for branch in self.branches:
            if not (self.training and self.skips()):
                out = out + branch(x)
        return out


@pytest.mark.parametrize(
    "way", [way if way == "random" else pytest.param(way, marks=pytest.mark.long) for way in SKIPS]
)
def test_what_some_passes_leave_out_is_measured_in_the_others(findings: Findings, way: str) -> None:
    found = findings(Skipping(SKIPS[way]), torch.randn(2000, 64))
    seen = {finding.place: measured(finding.message) for finding in found}
    assert seen.keys() == {f"branches.{number}.1" for number in range(12)}
    assert all(abs(ratio - 0.8 / (1 + 0.2 * 0.467)) < 0.02 for ratio in seen.values())
