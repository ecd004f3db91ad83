"""Every function of the vocabulary that applies a mask or a gate to a tensor, through the tools that ask about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.model.known.called import Called, named
from torch import Tensor, nn

import thinned
from thinned.model.known.operations import ACTIVATIONS, GATES, MULTIPLIES, SCALES

WIDTH, P = 32, 0.2
APPLIES = Callable[[Tensor, Tensor], Tensor]


def overwritten(x: Tensor, mask: Tensor) -> Tensor:
    x = x.clone()
    x[~mask] = 0.0
    return x


# How people apply a mask of booleans with each.
MASKS: dict[str, APPLIES] = {
    "mul": lambda x, mask: x * mask,
    "multiply": torch.multiply,
    "div": lambda x, mask: x / (1 / mask.float()),
    "divide": lambda x, mask: torch.divide(x, 1 / mask.float()),
    "true_divide": lambda x, mask: torch.true_divide(x, 1 / mask.float()),
    "where": lambda x, mask: torch.where(mask, x, 0.0),
    "masked_fill": lambda x, mask: x.masked_fill(~mask, 0.0),
    "setitem": overwritten,
    "einsum": lambda x, mask: torch.einsum("bi,bi->bi", x, mask.to(x.dtype)),
}
# How people scale with each what a mask has left.
NUMBERS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "mul": lambda x, q: x * (1 / q),
    "multiply": lambda x, q: torch.multiply(x, torch.tensor(1 / q)),
    "div": lambda x, q: x / q,
    "divide": torch.divide,
    "true_divide": torch.true_divide,
    "einsum": lambda x, q: torch.einsum("bi,->bi", x, torch.tensor(1 / q)),
}


class Masked(nn.Module):
    """A mask in training, and a number that it is scaled by."""

    def __init__(self, mask: APPLIES, scale: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.mask, self.scale = nn.Linear(4, WIDTH), mask, scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if not self.training:
            return x
        return self.scale(self.mask(x, torch.rand(x.shape) > P))


def causes(network: nn.Module) -> list[str]:
    found = thinned.check(network, torch.randn(8, 4), select=["THN405"])
    return [finding.message.partition("Probably ")[2] for finding in found]


def test_every_function_has_its_call() -> None:
    assert {*MASKS} == SCALES
    assert {*NUMBERS} == MULTIPLIES | {"einsum"}


@pytest.mark.parametrize("name", sorted(SCALES))
def test_check_and_inspect_know_a_mask_however_it_is_applied(name: str) -> None:
    (place,) = thinned.inspect(Masked(MASKS[name], lambda x: x / (1 - P)), torch.randn(64, 4)).places
    assert place.measured == pytest.approx(P, abs=0.05)
    assert causes(Masked(MASKS[name], lambda x: x / (1 - P))) == []
    (cause,) = causes(Masked(MASKS[name], lambda x: x))
    assert cause.startswith("scaling forgotten")


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_check_knows_a_mask_s_scale_however_it_is_multiplied(name: str) -> None:
    scale = NUMBERS[name]
    assert causes(Masked(MASKS["masked_fill"], lambda x: scale(x, 1 - P))) == []
    (cause,) = causes(Masked(MASKS["masked_fill"], lambda x: scale(x, P)))
    assert cause.startswith("keep and drop probability mixed up")


class Excited(nn.Module):
    """Squeeze-and-excitation: channels times factors that are computed from all of them."""

    def __init__(self, squash: nn.Module) -> None:
        super().__init__()
        self.map = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.factors = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), squash)

    def forward(self, x: Tensor) -> Tensor:
        x = self.map(x)
        result: Tensor = x * self.factors(x.mean((2, 3)))[:, :, None, None]
        return result


@pytest.mark.parametrize("name", sorted(GATES))
def test_plan_drops_nothing_in_the_layers_of_a_gate(name: str) -> None:
    def lines(squash: nn.Module) -> list[str]:
        return [line.where for line in thinned.plan(Excited(squash), torch.randn(2, WIDTH, 8, 8))]

    gate = Called(named(name), 1) if name == "softmax" else Called(named(name))
    assert lines(gate) == []
    assert lines(nn.Identity()) == ["input of factors.0", "output of factors.1"]


@pytest.mark.parametrize("name", sorted(GATES & ACTIVATIONS))
def test_plan_names_the_activation_that_a_gate_multiplies(name: str) -> None:
    """As in gated linear units, where two activations come before the next layer."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.gate, self.out = nn.Linear(4, WIDTH), nn.Linear(4, WIDTH), nn.Linear(WIDTH, 4)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.out(named(name)(self.gate(x)) * self.value(x).tanh())
            return result

    (line,) = thinned.plan(Gated(), torch.randn(8, 4))
    assert "behind tanh" in line.reason
