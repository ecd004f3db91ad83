"""`thinned.Predictor`: the same numbers as `predict`, and one look for many calls."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import thinned

PASSES = [0]  # of all models


@dataclass(slots=True)
class Slots:
    p: float = 0.1


class Net(nn.Module):
    """It drops in three ways: by a layer, by a call with a number, and by a rate in a configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(attention=SimpleNamespace(p=0.0))
        self.noisy = False
        self.inner, self.norm, self.drop = nn.Linear(6, 32), nn.BatchNorm1d(32), nn.Dropout(0.3)
        self.last = nn.Linear(32, 3)
        self.kept = torch.zeros(2)  # neither a parameter nor a buffer
        self.call = partial(F.dropout, p=0.1)
        self.loose = [nn.Dropout(0.1)]
        self.slots = Slots()
        self.near, self.far = SimpleNamespace(p=0.0), [[[self.config]]]

    def forward(self, x: Tensor) -> Tensor:
        PASSES[0] += 1
        x = self.drop(self.norm(self.inner(x)).tanh())
        x = F.dropout(x, 0.1, self.training)
        x = self.loose[0].train(self.training)(self.call(x, training=self.training))
        if self.training:
            x = F.dropout(x, self.slots.p) + F.dropout(x, self.near.p)
        if self.training and self.noisy:
            x = x + torch.randn_like(x)
        x = F.dropout(x, self.config.attention.p, self.training)
        out: Tensor = self.last(x)
        return out


OPTIONS: dict[str, dict[str, Any]] = {
    "regression": {"samples": True},
    "classification": {"task": "classification", "temperature": 2.0, "levels": (0.1,)},
    "one network for all rows": {"shared_masks": True},
    "some places, other rates": {"sites": ["drop"], "p": 0.5},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_call_is_predict(options: dict[str, Any]) -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10, seed=5, **options)
    for given in (x, x[:3], DataLoader(TensorDataset(x), batch_size=3), {"x": x}):
        found, expected = ask(given), thinned.predict(net, given, 10, seed=5, **options)
        assert torch.equal(found.mean, expected.mean)
        assert torch.equal(found.std, expected.std)
        assert torch.equal(found.quantiles, expected.quantiles)
        assert (found.places, found.n, found.seed) == (expected.places, 10, 5)
        assert found.samples is expected.samples is None or torch.equal(found.samples, expected.samples)  # type: ignore[arg-type]


def test_the_model_is_looked_at_once() -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    passes = []
    for rows in (7, 7, 4, 1):
        before = PASSES[0]
        ask(x[:rows])
        passes.append(PASSES[0] - before)
    assert passes[0] > 4
    assert passes[1:] == [1, 1, 1]  # all samples together


def more(net: Any) -> None:
    net.drop.p = 0.6


def told(net: Any) -> None:
    net.noisy = True


def configured(net: Any) -> None:
    net.config.attention.p = 0.4


def by_number(net: Any) -> None:
    thinned.set_rates(net, {"*:dropout": 0.5})


def by_partial(net: Any) -> None:
    net.call = partial(F.dropout, p=0.6)


def in_a_list(net: Any) -> None:
    net.loose[0].p = 0.6


def in_a_slot(net: Any) -> None:
    net.slots.p = 0.6


def another(net: Any) -> None:
    net.near = net.config.attention
    net.near.p = 0.2


def replaced(net: Any) -> None:
    net.drop = nn.AlphaDropout(0.3)


def hooked(net: Any) -> None:
    net.norm.register_forward_hook(lambda module, _, y: F.dropout(y, 0.5, module.training))


def wrapped(net: Any) -> None:
    net.last = nn.Sequential(nn.Dropout(0.2), net.last)


CHANGES: list[Callable[[Any], None]] = [
    more,
    told,
    configured,
    by_number,
    by_partial,
    in_a_list,
    in_a_slot,
    another,
    replaced,
    hooked,
    wrapped,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_model_is_seen(change: Callable[[Any], None]) -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    before = ask(x)
    change(net)
    found = ask(x)  # before `predict`, whose passes the model counts
    expected = thinned.predict(net, x, 10)
    assert not torch.equal(before.mean, expected.mean)
    assert torch.equal(found.mean, expected.mean)
    assert found.places == expected.places


def test_weights_and_mode_may_change_without_another_look() -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    ask(x)
    before = PASSES[0]
    with torch.no_grad():
        net.last.weight.mul_(2.0)
    net.eval()
    assert torch.equal(ask(x).mean, thinned.predict(net, x, 10).mean)
    assert not net.training
    assert PASSES[0] - before < 12


def test_rows_have_the_numbers_they_are_given() -> None:
    net, x = Net(), torch.randn(9, 6)
    ask = thinned.Predictor(net, 10)
    whole = ask(x)
    parts = [ask(x[start : start + 3], first_row=start).mean for start in (0, 3, 6)]
    torch.testing.assert_close(torch.cat(parts), whole.mean)
    assert not torch.allclose(ask(x[3:6]).mean, parts[1])
    with pytest.raises(ValueError, match="`first_row` must be"):
        ask(x, first_row=-1)


def test_rows_of_another_shape() -> None:
    net = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.4), nn.Linear(16, 2))
    ask = thinned.Predictor(net, 10)
    for x in (torch.randn(5, 6), torch.randn(5, 3, 6), torch.randn(2, 6)):
        assert torch.equal(ask(x).mean, thinned.predict(net, x, 10).mean)


def test_any_thread_may_call_and_they_wait_for_one_another() -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    expected = ask(x).mean
    with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool:
        found = list(pool.map(lambda _: ask(x).mean, range(12)))
    assert all(torch.equal(mean, expected) for mean in found)


def test_a_call_that_fails_leaves_the_next_ones_alone() -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    expected = ask(x).mean
    with pytest.raises(RuntimeError):
        ask(torch.randn(7, 5))
    assert torch.equal(ask(x).mean, expected)
    net.drop.p = 1.5
    with pytest.raises(ValueError, match="between 0 and 1"):
        ask(x)
    net.drop.p = 0.3
    assert torch.equal(ask(x).mean, expected)


def test_a_call_that_fails_after_the_look() -> None:
    net, x = Net(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    expected = ask(x).mean
    net.drop.p = 0.7
    rows: Any = [torch.randn(6), torch.randn(5)]
    with pytest.raises(RuntimeError):
        ask(DataLoader(rows, batch_size=1))
    net.drop.p = 0.3
    assert torch.equal(ask(x).mean, expected)


def test_other_flags_arguments_and_lengths() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Dropout(0.3), nn.Dropout(0.5)

        def forward(self, x: Tensor, way: str = "one", more: Tensor | None = None) -> Tensor:
            x = self.one(x) if way == "one" and x.shape[1] < 9 else self.other(x)
            return x if more is None else x + self.other(more)

    net, x = Two(), torch.randn(4, 6)
    ask = thinned.Predictor(net, 10)
    for given in ((x,), (x, "other"), {"x": x, "more": x}, (torch.randn(4, 9),), (x,)):
        found, expected = ask(given), thinned.predict(net, given, 10)
        assert torch.equal(found.mean, expected.mean)
        assert found.places == expected.places


def test_a_copy_predicts_alike() -> None:
    net, x = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.4)), torch.randn(3, 6)
    ask = thinned.Predictor(net, 10)
    expected = ask(x).mean
    for other in (deepcopy(ask), pickle.loads(pickle.dumps(ask))):
        assert torch.equal(other(x).mean, expected)


def test_a_model_that_keeps_what_it_computed_is_looked_at_once() -> None:
    class Keeping(Net):
        last_seen: Tensor | None

        def __init__(self) -> None:
            super().__init__()
            self.last_seen = None

        def forward(self, x: Tensor) -> Tensor:
            self.last_seen = super().forward(x)
            return self.last_seen

    net, x = Keeping(), torch.randn(7, 6)
    ask = thinned.Predictor(net, 10)
    ask(x)
    before = PASSES[0]
    ask(x)
    assert PASSES[0] - before == 1
    assert net.last_seen is None
