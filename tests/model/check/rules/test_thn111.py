"""Keras's layers are named where nothing was seen of their dropout. The classes here are as Keras 3's on torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import thinned

from .conftest import Findings, rule

RULE = rule("thn111_keras_mode_not_seen")


class Layer(nn.Module):
    __module__ = "keras.src.layers.layer"

    def _flatten_layers(self) -> Iterator[nn.Module]:
        yield self


class KerasDropout(Layer):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.name = rate, "dropout_1"

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        return nn.functional.dropout(x, self.rate, training)


class Functional(Layer):
    """A model of Keras, which holds its layers where `modules()` does not find them."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.held = (KerasDropout(rate),)
        self.layer = nn.Linear(8, 8)

    def _flatten_layers(self) -> Iterator[nn.Module]:
        yield from (self, *self.held)

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        out: Tensor = self.layer(self.held[0](x, training))
        return out


class Own(nn.Module):
    """A model of torch around a layer of Keras, with the mode handed on or not."""

    def __init__(self, inner: nn.Module, told: bool) -> None:
        super().__init__()
        self.first, self.inner, self.last, self.told = nn.Linear(8, 8), inner, nn.Linear(8, 2), told

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        out: Tensor = self.last(self.inner(x, training=self.training) if self.told else self.inner(x))
        return out


def test_dropout_that_nothing_switches_on(findings: Findings) -> None:
    x = torch.randn(4, 8)
    for inner in (KerasDropout(0.3), Functional(0.3)):
        (finding,) = findings(Own(inner, False), x)
        assert finding.place == "inner"
        assert f"{type(inner).__name__} is Keras's, whose dropout (dropout_1) follows" in finding.message
    (finding,) = findings(Functional(0.3), x)
    assert finding.place == "the model"


def test_what_is_told_the_mode_or_has_no_rate_is_left_alone(findings: Findings) -> None:
    x = torch.randn(4, 8)
    assert findings(Own(KerasDropout(0.3), True), x) == []
    assert findings(Own(KerasDropout(0.0), False), x) == []
    assert findings(Functional(0.0), x) == []
    assert findings(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 2)), x) == []


def test_no_tool_passes_over_keras_s_dropout_in_silence() -> None:
    model, x = Own(Functional(0.5), told=False), torch.ones(4, 8)
    name = re.escape("inner (dropout_1)")
    assert "Not seen: dropout of Keras in inner (dropout_1), which" in str(thinned.inspect(model, x))
    with pytest.raises(ValueError, match=f"nothing is random.*, but for Keras's dropout in {name}"):
        thinned.predict(model, x, n=2)
    said = f"dropout of Keras is left out. Got {name}, whose rate only Keras reads"
    tools: dict[str, Callable[[], object]] = {
        "rates": lambda: thinned.rates(model),
        "scale_rates": lambda: thinned.scale_rates(model, 0.5),
        "convert": lambda: thinned.convert(model),
        "plan": lambda: thinned.plan(model, x),
    }
    for owner, tool in tools.items():
        with pytest.warns(UserWarning, match=f"`{owner}`: {said}"):
            tool()
    told = Own(Functional(0.5), told=True)
    assert [place.p for place in thinned.inspect(told, x).places] == [0.5]
    assert "Not seen" not in str(thinned.inspect(told, x))
    assert thinned.predict(told, x, n=2).mean.shape == (4, 2)
