"""Masks in evaluation mode are flagged; samples, choices and diffusion noise are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import thinned

from .conftest import Findings, rule

RULE = rule("thn108_noise_in_eval")


def test_a_module_that_is_always_on(findings: Findings) -> None:
    class Always(nn.Dropout):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x, self.p, True)

    (finding,) = findings(nn.Sequential(nn.Linear(8, 8), Always(0.2), nn.Linear(8, 2)), torch.randn(4, 8))
    assert finding.place == "1"
    assert "as in training" in finding.message


def test_a_mask_that_is_drawn_in_evaluation_only(findings: Findings) -> None:
    class Inverted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if self.training else x * torch.empty_like(x).bernoulli_(0.7)

    (finding,) = findings(nn.Sequential(nn.Linear(8, 8), Inverted(), nn.Linear(8, 2)), torch.randn(4, 8))
    assert "and not in training" in finding.message


def test_other_random_numbers_are_left_alone(findings: Findings) -> None:
    class Sampling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x + torch.exp(x) * torch.randn_like(x)  # a latent variable
            kept = torch.rand(x.shape[1]).argsort()[:5]  # patches of a masked autoencoder
            return x[:, kept] + 0.1 * torch.randn(5)

    model = nn.Sequential(nn.Linear(8, 8), Sampling(), nn.Dropout(0.2), nn.Linear(5, 2))
    assert findings(model, torch.randn(4, 8)) == []


class Consistent(nn.Module):
    """SpeechT5's: one mask for the whole batch, which keeps with probability p; it follows no mode."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.bernoulli(x[0], p=self.p)
        masks = mask.unsqueeze(0).repeat(x.size(0), 1, 1)
        return torch.where(masks == 1, x, 0) * 1 / (1 - self.p)


def test_a_mask_that_is_repeated_and_compared(findings: Findings) -> None:
    model, x = nn.Sequential(nn.Linear(8, 16), Consistent(0.3), nn.Linear(16, 2)), torch.randn(4, 20, 8)
    (finding,) = findings(model, x)
    assert finding.place == "1:bernoulli"
    (place,) = thinned.inspect(model, x).places
    assert (place.shape, place.shared) == ((4, 20, 16), (0,))
    assert place.p == pytest.approx(0.7)
    assert place.measured == pytest.approx(0.7, abs=0.16)  # 320 draws: 6 standard deviations


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "expand": lambda m, x: m.expand(x.shape),
    "expand, then cast": lambda m, x: m.expand(x.shape).float(),
    "expand_as": lambda m, x: m.expand_as(x),
    "expand another": lambda m, x: m.squeeze(1)[:, None].expand(-1, x.shape[1], -1),
    "repeat": lambda m, x: m.repeat(1, x.shape[1], 1),
    "tile": lambda m, x: m.tile(1, x.shape[1], 1),
    "repeat_interleave": lambda m, x: m.repeat_interleave(x.shape[1], dim=1),
    "broadcast_to": lambda m, x: m.broadcast_to(x.shape),
    "type_as": lambda m, x: m.type_as(x),
    "to": lambda m, x: m.to(x),
    "view_as": lambda m, x: m.view_as(x[:, :1]),
    "expand and view": lambda m, x: m[:, :, None].expand(-1, x.shape[1], 1, -1).reshape(x.shape),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_mask_is_followed_and_so_are_its_shared_axes(findings: Findings, way: str) -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mask = WAYS[way](torch.rand(len(x), 1, x.shape[-1]) > 0.3, x)
            return x * mask / 0.7

    model, x = nn.Sequential(nn.Linear(8, 16), Masked(), nn.Linear(16, 2)), torch.randn(24, 5, 8)
    (finding,) = findings(model, x)
    assert finding.place == "1:rand"
    (place,) = thinned.inspect(model, x).places
    assert (place.shape, place.shared) == ((24, 5, 16), (1,))
    assert place.p == pytest.approx(0.3)


SELECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "columns": lambda x: x[:, torch.rand(x.shape[1]) > 0.3],
    "rows, not dropped": lambda x: x[~(torch.rand(len(x)) < 0.3)],
    "rows by bernoulli": lambda x: x[torch.bernoulli(torch.full((len(x),), 0.7)).bool()],
    "positions": lambda x: x[:, (torch.rand(x.shape[1]) >= 0.3).nonzero().squeeze(1)],
    "index_select": lambda x: x.index_select(1, (torch.rand(x.shape[1]) >= 0.3).nonzero().squeeze(1)),
    "masked_select": lambda x: torch.masked_select(x, torch.rand_like(x) > 0.3),
    "edges": lambda x: x[torch.stack([torch.arange(8), torch.arange(8)])[:, torch.rand(8) > 0.3][0]],
    "both ends": lambda x: x[:, (torch.rand(x.shape[1]) > 0.1) & (torch.rand(x.shape[1]) > 0.1)],
}


@pytest.mark.parametrize("way", SELECTIONS)
def test_a_mask_that_selects(findings: Findings, way: str) -> None:
    class Selecting(nn.Module):
        def __init__(self, told: bool) -> None:
            super().__init__()
            self.layer, self.told = nn.Linear(8, 16), told

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(x)
            return x if self.told and not self.training else SELECTIONS[way](x)

    found = findings(Selecting(False), torch.randn(8, 8))
    assert {finding.place.partition(":")[0] for finding in found} == {""}
    assert "a mask that selects what is kept" in found[0].message or "a mask made by hand" in found[0].message
    assert findings(Selecting(True), torch.randn(8, 8)) == []


CHOICES: dict[str, Callable[[Tensor], Tensor]] = {
    "patches of a masked autoencoder": lambda x: x[:, torch.rand(x.shape[1]).argsort()[:5]],
    "one of the rows": lambda x: x[torch.randint(len(x), (4,))],
    "by weights that the model computes": lambda x: x[torch.rand(len(x)) < x.mean(1).sigmoid()],
    "a coin": lambda x: x.flip(0) if torch.rand(()) < 0.5 else x,
    "the largest": lambda x: x[:, (torch.rand_like(x) * 0 + x).mean(0).topk(4).indices],
}


@pytest.mark.parametrize("way", CHOICES)
def test_other_choices_are_left_alone(findings: Findings, way: str) -> None:
    class Choosing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return CHOICES[way](x)

    assert findings(nn.Sequential(nn.Linear(8, 16), Choosing()), torch.randn(8, 8)) == []
