"""`save_rates` and `load_rates`: what a checkpoint does not carry."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thinned

X = torch.ones(8, 64)


class Net(nn.Module):
    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p, self.fc, self.drops = p, nn.Linear(64, 64), [nn.Dropout(p), nn.Dropout(p)]

    def forward(self, x: Tensor) -> Tensor:
        for drop in self.drops:
            x = drop(x)
        return F.dropout(F.dropout(self.fc(x), self.p, self.training), 0.2, self.training)


def test_rates_of_every_kind_come_back(tmp_path: Path) -> None:
    model = nn.Sequential(Net(), nn.LSTM(64, 8, 2, dropout=0.3), nn.MultiheadAttention(8, 2, 0.4))
    names = [*thinned.rates(model)]
    wanted = {name: number / 16 for number, name in enumerate(names, 1)}
    thinned.set_rates(model, wanted)
    thinned.save_rates(model, tmp_path / "rates.toml")
    assert tomllib.loads((tmp_path / "rates.toml").read_text(encoding="utf-8"))["rates"] == wanted
    other = nn.Sequential(Net(), nn.LSTM(64, 8, 2, dropout=0.3), nn.MultiheadAttention(8, 2, 0.4))
    changed = thinned.load_rates(other, tmp_path / "rates.toml")
    assert thinned.rates(other) == wanted
    assert changed.items() <= wanted.items()
    assert thinned.load_rates(other, tmp_path / "rates.toml") == {}


@pytest.mark.parametrize("name", ["new dropouts", "p of a dropout"])
def test_a_plan_comes_back_with_the_rates_of_now(name: str, tmp_path: Path) -> None:
    def fresh() -> tuple[nn.Module, Any]:
        middle = [nn.ReLU()] if name == "new dropouts" else [nn.ReLU(), nn.Dropout(0.0)]
        return nn.Sequential(nn.Linear(64, 512), *middle, nn.Linear(512, 10)), X

    (model, x), (other, _) = fresh(), fresh()
    handle = thinned.apply(model, thinned.plan(model, x))
    thinned.set_rates(model, dict.fromkeys((line.where for line in handle.plan.enabled), 0.125))
    file = tmp_path / "rates.toml"
    thinned.save_rates(model, file)
    other.load_state_dict(model.state_dict())  # which has neither
    thinned.load_rates(other, file)
    assert thinned.rates(other) == thinned.rates(model)
    assert thinned.Plan.load(file) == handle.plan
    torch.manual_seed(1)
    first = model.train()(x)
    torch.manual_seed(1)
    assert torch.equal(first, other.train()(x))
    thinned.load_rates(other, file)  # the plan is there already
    thinned.Applied.of(other).remove()  # type: ignore[union-attr]
    assert thinned.rates(other) == thinned.rates(fresh()[0])


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "rates.toml"
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10), nn.Dropout(0.3))
    thinned.apply(model, thinned.plan(model, X))
    thinned.save_rates(model, file)
    other = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    with pytest.raises(ValueError, match=r"`load_rates`: `model` must have the places of .*It has not: 3. Load into"):
        thinned.load_rates(other, file)
    assert thinned.rates(other) == {}
    own = nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 10), nn.Dropout(0.5))
    thinned.apply(own, thinned.Plan((thinned.plan(own, X).lines[0].__class__("input of 2", "Dropout", 0.1),)))
    with pytest.raises(RuntimeError, match=r"must have the plan of .* or none. Got one that has another"):
        thinned.load_rates(own, file)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("x =", ValueError, "a file of rates must be TOML"),
        ('model = "Net"', ValueError, r"must have a table \[rates\]. It has model"),
        ('[rates]\n"0" = 20', ValueError, "If 20 % was meant, pass 0.2"),
        ('[rates]\n"0" = "a"', TypeError, "Got 'a'"),
        ('[rates]\n"9" = 0.1', ValueError, "It has not: 9"),
    ],
)
def test_a_bad_file_is_refused(text: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "rates.toml").write_text(text)
    model = nn.Sequential(nn.Dropout(0.5))
    with pytest.raises(error, match=message):
        thinned.load_rates(model, tmp_path / "rates.toml")
    assert thinned.rates(model) == {"0": 0.5}


def test_masks_with_a_number_in_the_code_are_left_to_the_code(tmp_path: Path) -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.bernoulli(torch.full(x.shape, 0.9))

    model = nn.Sequential(nn.Dropout(0.2), Masked())
    thinned.save_rates(model, tmp_path / "rates.toml")
    assert thinned.load_rates(nn.Sequential(nn.Dropout(0.5), Masked()), tmp_path / "rates.toml") == {"0": 0.2}
