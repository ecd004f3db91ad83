"""What a model keeps of its own passes is of use after ours: no tensor is left of a pass that ran as one of many."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thinned
import thinned.nn


class Keeps(nn.Module):
    """A model that keeps what it computes, in every way that people do."""

    last: Any
    new: Any

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dropout, self.head = nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2)
        self.last = None
        self.filled = torch.zeros(2)
        self.maps: dict[str, Any] = {"old": 3}
        self.all: list[Any] = [None]
        self.replaced: list[Any] = []
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.first(x))
        self.last = self.new = self.filled = x
        self.maps["x"] = x
        self.all.append(x)
        self.replaced = [x, (x, 1)]
        self.calls += 1
        out: Tensor = self.head(x)
        return out


X = torch.randn(3, 4)


def test_what_a_model_keeps_is_of_use_after_a_prediction() -> None:
    model: Any = nn.Sequential(Keeps())
    kept = model[0]
    filled, maps, every, replaced = kept.filled, kept.maps, kept.all, kept.replaced
    found = thinned.predict(model, X, n=5)
    assert found.engine == "vmap"
    assert kept.last is None
    assert not hasattr(kept, "new")
    assert kept.filled is filled
    assert kept.maps is maps
    assert maps == {"old": 3}
    assert kept.all is every
    assert every == [None]
    assert kept.replaced is replaced
    assert kept.calls == 0  # a copy ran
    copied = copy.deepcopy(model)
    assert torch.equal(thinned.predict(copied, X, n=5).mean, found.mean)
    model(X)
    assert model[0].last.shape == (3, 8)


def test_tensors_of_an_ordinary_pass_stay() -> None:
    model = Keeps()
    model(X)
    before = model.last
    thinned.inspect(model, X)
    assert model.last is before
    assert len(model.all) == 2
    thinned.predict(model, X, n=5)
    assert model.last is before
    assert model.maps["x"] is before


def test_what_is_kept_is_of_use_after_an_error_too() -> None:
    model = Keeps()
    model(X)
    before = model.last

    def fails(answer: Tensor) -> Tensor:
        if torch._C._functorch.is_functorch_wrapped_tensor(answer):
            raise KeyboardInterrupt
        return answer

    with pytest.raises(KeyboardInterrupt):
        thinned.predict(model, X, n=5, output=fails)
    assert model.last is before


def test_a_model_that_answers_for_its_parameters_itself_is_checked() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.drop = torch.nn.Linear(4, 4), torch.nn.Dropout(0.5)

        def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
            yield torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.layer(self.drop(self.layer(x)))
            return result

    assert not thinned.check(Own(), torch.randn(8, 4), select=["THN405"])
