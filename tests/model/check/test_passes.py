"""A check finds the same whatever the caller's random numbers are, and what LayerDrop left out of the first pass."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thinned

SEEDS = range(12)
SELF = ["THN206", "THN405"]  # which run the model themselves
WAYS: dict[str, Callable[[], bool]] = {
    "one number": lambda: bool(torch.rand(()) < 0.5),
    "a number in a vector": lambda: bool(torch.rand(1) < 0.5),
    "a plain number": lambda: torch.rand(1).item() < 0.5,
    "random": lambda: random.random() < 0.5,
    "NumPy": lambda: bool(np.random.rand() < 0.5),  # noqa: NPY002
}


class Block(nn.Module):
    """A branch with three faults: element-wise noise on a map, by hand and not scaled, and in place behind a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.dropout = nn.Dropout(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.first(x).tanh())
        if self.training:
            x = x * (torch.rand_like(x) > 0.3)
        out: Tensor = self.last(x)
        return out


class Skipping(nn.Module):
    """Blocks of which training leaves out half."""

    def __init__(self, skips: Callable[[], bool], blocks: int = 4) -> None:
        super().__init__()
        self.blocks, self.skips = nn.ModuleList(Block() for _ in range(blocks)), skips

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if not (self.training and self.skips()):
                x = x + block(x)
        return x


def seeded(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def found(model: nn.Module, seed: int) -> list[str]:
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    seeded(seed)
    return [str(finding) for finding in thinned.check(model, x)]


@pytest.mark.long
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way in ("one number", "NumPy") else [pytest.mark.long]) for way in WAYS]
)
def test_findings_do_not_depend_on_the_caller_s_random_numbers(way: str) -> None:
    model = Skipping(WAYS[way])
    first = found(model, 0)
    assert all(found(model, seed) == first for seed in SEEDS[1:])


@pytest.mark.parametrize("way", WAYS)
def test_what_a_pass_left_out_is_found(way: str) -> None:
    model, x = Skipping(WAYS[way]), torch.randn(2, 4, 6, 6)
    places = [finding.place for finding in thinned.check(model, x, select=["THN301"])]
    assert sorted(places) == sorted(f"blocks.{n}{own}" for n in range(4) for own in (".dropout", ":rand_like"))


@pytest.mark.parametrize("way", WAYS)
def test_rules_that_run_the_model_themselves_wait_for_it_too(way: str) -> None:
    x = torch.randn(2, 4, 6, 6)
    for model in (Skipping(WAYS[way], blocks=1), nn.Sequential(nn.Conv2d(4, 4, 1), Skipping(WAYS[way], blocks=1))):
        places = [(f.code, f.place.partition("blocks.")[2]) for f in thinned.check(model, x, select=SELF)]
        assert places == [("THN206", "0.dropout"), ("THN405", "0:rand_like")]


def test_frozen_blocks_that_a_pass_left_out() -> None:
    model = Skipping(WAYS["one number"])
    model.blocks.requires_grad_(False)
    findings = thinned.check(nn.Sequential(model, nn.Conv2d(4, 4, 1)), torch.randn(2, 4, 6, 6), select=["THN205"])
    places = {finding.place for finding in findings}
    assert {f"0.blocks.{n}{own}" for n in range(4) for own in (".dropout", ":rand_like")} <= places


def test_a_module_s_neighbours_are_those_of_one_pass() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
            self.dropout, self.head = nn.Dropout(0.2), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                if not (self.training and torch.rand(()) < 0.5):
                    x = layer(x)
            out: Tensor = self.head(self.dropout(x))
            return out

    model, x = Shared(), torch.randn(4, 8)
    for seed in SEEDS:
        torch.manual_seed(seed)
        assert "THN502" not in thinned.check(model, x).counts()


def test_stochastic_depth_is_counted_over_all_passes() -> None:
    from thinned.nn import StochasticDepth

    class Deep(nn.Module):
        def __init__(self, rates: list[float]) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in rates)
            self.paths = nn.ModuleList(map(StochasticDepth, rates))

        def forward(self, x: Tensor) -> Tensor:
            for layer, path in zip(self.layers, self.paths, strict=True):
                if not (self.training and torch.rand(()) < 0.4):
                    x = x + path(layer(x))
            return x

    x = torch.randn(4, 8)
    for model, expected in ((Deep([0.2] * 7), 1), (Deep([0.2] * 6 + [0.3]), 0)):
        assert len(thinned.check(model, x, select=["THN403"])) == expected


def test_the_caller_s_generators_are_left_as_they_were() -> None:
    model = Skipping(WAYS["random"])
    seeded(3)
    expected = torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002
    seeded(3)
    thinned.check(model, torch.ones(2, 4, 6, 6))
    assert (torch.rand(1).item(), random.random(), np.random.rand()) == expected  # noqa: NPY002
