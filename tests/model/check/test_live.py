"""Live models: functional, attention and unowned dropout are told apart, on lines of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thinned

LINES = Path(__file__).read_text(encoding="utf-8").splitlines()


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)  # noqa: THN1010  no code of ours: the finding stays


class Silenced(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)  # noqa: THN101


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)  # noqa: THN1020


class Built(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        built: Tensor = nn.Dropout(0.5)(x)  # noqa: THN1030
        return built


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Dropout(0.5)]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Good(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.dropout(x), 0.5, self.training)
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5 if self.training else 0.0)


def check(model: nn.Module, **options: Any) -> Any:
    x = torch.rand(2, 3, 8)
    return thinned.check(nn.Sequential(nn.Linear(8, 8), model, nn.Linear(8, 8)), x, select=["THN10"], **options)


def test_each_fault_is_found_once_at_its_line() -> None:
    for model, code, mark in (
        (Functional(), "THN101", "THN1010"),
        (Attention(), "THN102", "THN1020"),
        (Built(), "THN103", "THN1030"),
    ):
        ours = [finding for finding in check(model) if finding.code in ("THN101", "THN102", "THN103")]
        (finding,) = ours
        assert finding.code == code
        assert mark in LINES[finding.line - 1]
        assert finding.file == __file__
        assert finding.place.startswith("1")


def test_the_message_says_what_is_wrong_and_what_to_do() -> None:
    (finding,) = (finding for finding in check(Functional()) if finding.code == "THN101")
    said = "its `training` is left out or always True. Pass training=self.training"
    assert finding.message == f"`dropout` drops in evaluation too: {said}"


def test_a_dropout_in_a_plain_list_is_no_part_of_the_model() -> None:
    assert "THN103" in check(Listed()).counts()


def test_what_follows_the_mode_is_not_found() -> None:
    assert not {"THN101", "THN102", "THN103"} & set(check(Good()).counts())


def test_noqa_on_the_users_line_silences() -> None:
    assert "THN101" not in check(Silenced()).counts()


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 2))
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    x = torch.rand(8, 4)
    state = torch.get_rng_state()
    assert thinned.check(model, x, select=["THN402"]).counts() == {"THN402": 1}
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_p_is_read_from_live_models() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Dropout(1.0), nn.Linear(8, 8), nn.Dropout(0.0), nn.Linear(8, 2))
    found = thinned.check(net, torch.rand(2, 8), select=["THN401", "THN402"])
    assert [(finding.code, finding.place) for finding in found] == [("THN401", "1")]
