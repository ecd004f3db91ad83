"""Every function of the vocabulary that gives a tensor another shape, order or precision: rules look through it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.model.known.called import Called
from torch import Tensor, nn

import thinned
from thinned.model.known.operations import SHAPES

ROWS, WIDTH = 8, 32
# How people call each, on a matrix of 8 rows and 32 units. None returns the tensor itself, which would be no call.
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "view": lambda x: x.view(ROWS, 2, WIDTH // 2),
    "view_as": lambda x: x.view_as(torch.empty(2 * ROWS, WIDTH // 2)),
    "reshape": lambda x: x.reshape(-1),
    "reshape_as": lambda x: x.reshape_as(torch.empty(2 * ROWS, WIDTH // 2)),
    "flatten": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(1, (2, WIDTH // 2)),
    "ravel": lambda x: x.ravel(),
    "permute": lambda x: x.permute(1, 0),
    "transpose": lambda x: x.transpose(0, 1),
    "t": lambda x: x.t(),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "swapdims": lambda x: x.swapdims(0, 1),
    "movedim": lambda x: x.movedim(0, 1),
    "moveaxis": lambda x: x.moveaxis(0, 1),
    "squeeze": lambda x: x.squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "expand": lambda x: x.expand(ROWS, WIDTH),
    "expand_as": lambda x: x.expand_as(torch.empty(ROWS, WIDTH)),
    "to": lambda x: x.to(torch.float64),
    "float": lambda x: x.double().float(),
    "half": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "double": lambda x: x.double(),
    "type": lambda x: x.type(torch.float64),
    "type_as": lambda x: x.type_as(torch.empty(0, dtype=torch.float64)),
    "contiguous": lambda x: x.T.contiguous(),
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach(),
    "requires_grad": lambda x: x.detach().requires_grad_(),
}


def between(shape: Callable[[Tensor], Tensor]) -> nn.Module:
    """Two dropouts, and the function between them."""
    return nn.Sequential(nn.Linear(4, WIDTH), nn.Dropout(0.2), Called(shape), nn.Dropout(0.5))


def test_every_function_has_its_call() -> None:
    assert {*CALLS} == SHAPES


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_check_finds_two_dropouts_in_a_row_on_both_sides(name: str) -> None:
    (finding,) = thinned.check(between(CALLS[name]), torch.randn(ROWS, 4), select=["THN203"])
    assert finding.place == "3"
    assert "is one of 0.6" in finding.message


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_check_measures_what_a_mask_is_scaled_by_behind_every_one(name: str) -> None:
    """THN405: the walk from the mask to the number goes on through the function."""

    class Masked(nn.Module):
        def __init__(self, divisor: float) -> None:
            super().__init__()
            self.first, self.divisor = nn.Linear(4, WIDTH), divisor

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            if not self.training:
                return x
            shaped = CALLS[name](x * (torch.rand(x.shape) > 0.2)) / self.divisor
            return shaped.reshape(ROWS, WIDTH).to(x.dtype)

    x = torch.randn(ROWS, 4)
    assert not thinned.check(Masked(0.8), x, select=["THN405"])
    (finding,) = thinned.check(Masked(0.64), x, select=["THN405"])
    assert "divides by 1 - p two times" in finding.message
