"""Every function of the vocabulary that makes a feature map smaller or larger, through the tools that ask about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.model.known.called import Called, named
from torch import Tensor, nn

import thinned
from thinned.model.known.operations import ADAPTIVE_POOLS, POOLS, RESIZES, WHOLE_POOLS

CHANNELS = 16


def axes(name: str) -> int:
    """How many axes of space a function's maps have: 2 where its name has no number."""
    return int(name[-2]) if name[-1] == "d" and name[-2].isdigit() else 2


def example(name: str) -> Tensor:
    return torch.randn(2, CHANNELS, *[8] * axes(name))


def convolution(name: str) -> nn.Module:
    kind: Callable[..., nn.Module] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes(name)]
    return kind(CHANNELS, CHANNELS, 3, padding=1)


def pool(name: str, size: int) -> nn.Module:
    """The function as people call it, on maps of 8 positions along each axis, to maps of `size`."""
    if name in ("mean", "amax"):
        return Called(named(name), tuple(range(2, 2 + axes(name))), True)
    if name in ADAPTIVE_POOLS:
        return Called(named(name), size)
    if name.startswith("fractional"):
        return Called(lambda x: named(name)(x, 2, output_size=size))
    if name.startswith("lp"):
        return Called(named(name), 2, 8 // size)
    return Called(named(name), 8 // size)


@pytest.mark.parametrize("name", sorted(POOLS))
def test_check_looks_through_every_pool_for_the_convolution(name: str) -> None:
    """THN301: what a pool has left of a convolution's map is one still."""
    dropped = (pool(name, 4), nn.Dropout(0.2), convolution(name))
    (finding,) = thinned.check(nn.Sequential(convolution(name), *dropped), example(name), select=["THN301"])
    assert finding.place == "2"
    assert f"{[2, CHANNELS, *[4] * axes(name)]}" in finding.message
    assert not thinned.check(nn.Sequential(*dropped), example(name), select=["THN301"])


@pytest.mark.parametrize("name", sorted(WHOLE_POOLS))
def test_plan_knows_pooled_features_by_every_function_that_pools_a_whole_map(name: str) -> None:
    network = nn.Sequential(convolution(name), nn.ReLU(), pool(name, 1), nn.Flatten(), nn.Linear(CHANNELS, 4))
    (line,) = thinned.plan(network, example(name))
    assert line.reason == "Pooled features, on their way to the classifier."
    assert line.shape == (2, CHANNELS)
    flat = nn.Sequential(convolution(name), nn.ReLU(), nn.Flatten(), nn.Linear(CHANNELS * 8 ** axes(name), 4))
    (line,) = thinned.plan(flat, example(name))
    assert line.reason.startswith("Wide hidden layer" if axes(name) > 1 else "Hidden layer")


class Block(nn.Module):
    """An addition of a map and of what layers make of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.layers(x)
        return result


def twice(name: str) -> nn.Module:
    """The function, as people call it, on a map of 4 positions along each axis that becomes one of 8."""
    if name.startswith("conv"):
        kind: Callable[..., nn.Module] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[
            axes(name)
        ]
        return kind(CHANNELS, CHANNELS, 2, stride=2)
    if name == "grid_sample":
        grid = F.affine_grid(torch.eye(2, 3).repeat(2, 1, 1), [2, CHANNELS, 8, 8], align_corners=False)
        return Called(lambda x: F.grid_sample(x, grid, align_corners=False))
    if name == "pixel_shuffle":
        return nn.Sequential(nn.Conv2d(CHANNELS, 4 * CHANNELS, 1), nn.PixelShuffle(2))
    assert name == "interpolate"
    return nn.Upsample(scale_factor=2)


def branches(name: str, *layers: Callable[[], nn.Module]) -> list[str]:
    """The blocks for which a plan has stochastic depth."""
    blocks = (Block(*(layer() for layer in layers)) for _ in range(3))
    mean = Called(torch.mean, tuple(range(2, 2 + axes(name))))
    lines = thinned.plan(nn.Sequential(*blocks, mean, nn.Linear(CHANNELS, 4)), example(name))
    return [line.where for line in lines if line.variant == "StochasticDepth"]


@pytest.mark.parametrize("name", sorted(RESIZES))
def test_plan_takes_no_two_resolutions_for_a_block_and_its_branch(name: str) -> None:
    """As at each level of a U-Net: a network cannot do without what comes from below."""
    down = Called(named(f"avg_pool{axes(name)}d"), 2)
    assert branches(name, lambda: down, lambda: convolution(name), nn.ReLU, lambda: twice(name)) == []
    assert len(branches(name, lambda: convolution(name), nn.ReLU, lambda: convolution(name))) == 3
