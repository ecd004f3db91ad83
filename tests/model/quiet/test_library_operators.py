"""Operators of other libraries, as flash attention's: no mode of torch sees inside, and their noise is found anyhow."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thinned

X = torch.ones(64, 8)


@torch.library.custom_op("thinned_tests::drop", mutates_args=())
def drop(x: Tensor) -> Tensor:
    return F.dropout(x, 0.5)


@torch.library.custom_op("thinned_tests::noisy", mutates_args=())
def noisy(x: Tensor) -> Tensor:
    return x + torch.rand(x.shape)


@torch.library.custom_op("thinned_tests::attend", mutates_args=())
def attend(x: Tensor, dropout_p: float) -> Tensor:
    return F.dropout(x, dropout_p) + 0


@torch.library.custom_op("thinned_tests::double", mutates_args=())
def double(x: Tensor) -> Tensor:
    return 2 * x


class Calls(nn.Module):
    def __init__(self, operator: Callable[..., Tensor], *arguments: Any) -> None:
        super().__init__()
        self.operator, self.arguments = operator, arguments

    def forward(self, x: Tensor) -> Tensor:
        return self.operator(x, *self.arguments)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = 0.5

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = attend(x, self.p if self.training else 0.0)
        return found


class Drops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = drop(x)
        return found


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other thread draws here: threads that earlier tests have left are not counted."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


NOISY: dict[str, tuple[Any, ...]] = {"drop": (drop,), "noisy": (noisy,), "attend": (attend, 0.5)}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", NOISY)
def test_its_noise_is_named(name: str) -> None:
    place = f"0:thinned_tests.{name}"
    model = nn.Sequential(Calls(*NOISY[name]))
    with thinned.disabled(model), pytest.raises(thinned.NoiseLeft, match=re.escape(place)):
        model(X)
    with thinned.disabled(model, allow=(place,)):
        assert not torch.equal(model(X), model(X))
    with thinned.eval_guard(model.eval()), pytest.raises(thinned.NoiseInEval, match=re.escape(place)):
        model(X)
    assert thinned.inspect(model, X).places[0].name == place
    with pytest.raises(NotImplementedError, match=re.escape(place)):
        thinned.predict(model, X)
    thinned.freeze(model)
    with pytest.raises(thinned.NoiseLeft, match=r"^`freeze`: '0:thinned_tests"):
        model(X)


def test_without_noise_it_is_left_alone() -> None:
    for model in (nn.Sequential(Calls(double)), nn.Sequential(Calls(attend, 0.0)), nn.Sequential(Attends()).eval()):
        with thinned.disabled(model), thinned.eval_guard(model):
            model(X)
        assert not thinned.check(model, X)
    assert not thinned.inspect(nn.Sequential(Calls(double)), X).places


@pytest.mark.usefixtures("alone")
def test_what_draws_in_evaluation_is_a_finding() -> None:
    for model in (nn.Sequential(Calls(drop)),):
        assert [finding.code for finding in thinned.check(model, X)] == ["THN108"]
    assert not thinned.check(nn.Sequential(Calls(noisy)), X)  # numbers that are no mask


def test_a_rate_that_no_override_reaches_is_an_error() -> None:
    for part in (Drops(), Calls(drop)):
        model = nn.Sequential(nn.Dropout(0.3), part)
        with pytest.raises(ValueError, match="must be within reach"):
            thinned.set_rates(model, {"*": 0.0})
        assert model[0].p == 0.3


def test_another_thread_that_draws_is_no_noise_of_the_operator() -> None:
    stop = threading.Event()

    def draws() -> None:
        while not stop.is_set():
            torch.rand(10)

    thread = threading.Thread(target=draws)
    thread.start()
    try:
        model = nn.Sequential(Calls(double))
        with thinned.disabled(model):
            for _ in range(50):
                model(X)
        model = nn.Sequential(Calls(attend, 0.5))  # whose arguments say so
        with thinned.disabled(model), pytest.raises(thinned.NoiseLeft):
            model(X)
    finally:
        stop.set()
        thread.join()
