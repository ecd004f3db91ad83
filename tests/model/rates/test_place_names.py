"""What a plan prints is a name for `set_rates`; a pattern that wakes a dropout says so."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thinned


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(64, 512), nn.Dropout(0.0), nn.Linear(512, 10)
        self.middle = nn.Linear(512, 512)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.dropout(F.relu(self.first(x)), 0.1, self.training)
        x = F.relu(self.middle(x))
        result: torch.Tensor = self.last(self.drop(x))
        return result


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(8, 16), encoder, nn.LSTM(16, 16, 2, batch_first=True))


MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "perceptron": lambda: (nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10)), torch.ones(8, 64)),
    "functions": lambda: (Net(), torch.ones(8, 64)),
    "transformer": lambda: (transformer(), torch.ones(4, 5, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_name_that_a_plan_prints_is_a_name_for_set_rates(name: str, tmp_path: Path) -> None:
    model, x = MODELS[name]()
    plan = thinned.plan(model, x)
    handle = thinned.apply(model, plan)
    plan.save(tmp_path / "plan.toml")
    written = re.findall(r'^where = "(.*)"$', (tmp_path / "plan.toml").read_text(), re.MULTILINE)
    enabled = [line.where for line in plan.enabled]
    assert enabled
    assert set(enabled) <= set(written)
    assert all(where in str(plan) for where in enabled)
    shown = [text.partition(": ")[0] if ": " in text else text.partition(", p")[0] for text in plan.there]
    for number, text in enumerate([*enabled, *handle.places, *shown], 1):
        changed = thinned.set_rates(model, {text: number / 64})
        assert number / 64 in changed.values(), text
    thinned.set_rates(model, dict.fromkeys(enabled, 0.0))
    assert {line.p for line in handle.plan.enabled} == {0.0}


def test_a_plan_that_is_not_applied_yet_is_said() -> None:
    with pytest.raises(ValueError, match=r"Got 'output of 1', which matches none.*applied to the model: thinned.apply"):
        thinned.set_rates(nn.Sequential(nn.Linear(2, 2), nn.Dropout()), {"output of 1": 0.3})


def test_a_pattern_that_wakes_a_dropout_beside_others_names_it() -> None:
    model = nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.1), nn.LSTM(4, 4, 2))
    with pytest.warns(UserWarning, match=r"`set_rates`: a pattern has woken '0', '2', whose p was 0"):
        thinned.set_rates(model, {"*": 0.3})
    assert thinned.rates(model) == {"0": 0.3, "1": 0.3, "2": 0.3}


def test_what_does_not_wake_or_is_meant_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.1))
        thinned.set_rates(model, {"*": 0.3, "0": 0.0})
        assert thinned.rates(model) == {"0": 0.0, "1": 0.3}
        thinned.set_rates(model, {"*": 0.2, "0": 0.2})
        thinned.set_rates(nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.0)), {"*": 0.3})
        thinned.scale_rates(model, 0.5)
