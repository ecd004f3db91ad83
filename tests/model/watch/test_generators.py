"""What belongs to the process stays the process's: no tool moves a generator, or puts one back that others have moved.

Another thread draws while a tool runs. Its numbers are those of a process in which nothing else runs: none is drawn
twice, none is left out. Afterwards all generators are where that thread has left them.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.run import Run
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import thinned
from thinned.model.watch.generators import States

pytestmark = pytest.mark.usefixtures("one_thread")

X = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


def noisy(m: Any, x: Tensor) -> Tensor:
    """Draws from all three generators, and seeds, as no model should."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        x = x + 1e-3 * torch.rand(x.shape)
    if m.training and random.random() < 0.5:
        x = x * float(np.random.random_sample() + 0.5)  # noqa: NPY002
    x = checkpoint(lambda y: F.dropout(m.norm(m.first(y)), 0.3, m.training), x, use_reentrant=False)
    return m.last(m.drop(x))  # type: ignore[no-any-return]


def model() -> nn.Module:
    children = {"first": nn.Linear(8, 8), "norm": nn.BatchNorm1d(8), "drop": nn.Dropout(0.4), "last": nn.Linear(8, 3)}
    return Run(noisy, **children)


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))


class DropPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop_prob = 0.2

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        return x * x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep) / keep


def _disabled(net: nn.Module) -> None:
    with thinned.disabled(net, example=(X,)):
        net(X)


def _frozen(net: nn.Module) -> None:
    frozen = thinned.freeze(net)
    for _ in range(3):
        net(X)
    frozen.thaw()


def _guarded(net: nn.Module) -> None:
    with thinned.eval_guard(net):
        net.eval()(X)


def _applied(net: nn.Module) -> None:
    thinned.apply(net, thinned.plan(net, X)).remove()


DATA: Any = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, X[:, 0]), batch_size=3, shuffle=True)

TOOLS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any]]] = {
    "inspect": (model, lambda net: thinned.inspect(net, X)),
    "check": (model, lambda net: thinned.check(net, X)),
    "plan": (model, lambda net: thinned.plan(net, X)),
    "apply": (plain, _applied),
    "predict": (model, lambda net: thinned.predict(net, X, 3)),
    "predict, a loader": (plain, lambda net: thinned.predict(net, DATA, 2)),
    "weight_scaling": (model, lambda net: thinned.weight_scaling(net, X)),
    "geometric_mean": (model, lambda net: thinned.geometric_mean(net, X, 3)),
    "thinned_networks": (model, lambda net: [network(X) for network in thinned.thinned_networks(net, 2, X)]),
    "calibrate": (plain, lambda net: thinned.calibrate(net, (X, X[:, :1]), task="regression", n=2)),
    "variance_shift": (model, lambda net: thinned.variance_shift(net, [X])),
    "set_rates": (model, lambda net: thinned.set_rates(net, {"drop": 0.2}, example=(X,))),
    "scale_rates": (model, lambda net: thinned.scale_rates(net, 0.5, "drop", example=(X,))),
    "rates": (model, lambda net: thinned.rates(net, example=(X,))),
    "Schedule": (model, lambda net: thinned.Schedule(net, {"drop": 0.1}, example=(X,)).step()),
    "disabled": (plain, _disabled),
    "freeze": (plain, _frozen),
    "eval_guard": (plain, _guarded),
    "convert": (lambda: nn.Sequential(DropPath(), nn.Dropout()), thinned.convert),
    "recalibrate_batchnorm": (
        lambda: nn.Sequential(nn.Dropout(0.2), nn.BatchNorm1d(8)),
        lambda net: thinned.recalibrate_batchnorm(net, [X, X]),
    ),
}


def drawn() -> tuple[Any, ...]:
    return torch.rand(3).tolist(), random.random(), np.random.random_sample()  # noqa: NPY002


def seeded() -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002


@pytest.mark.parametrize("name", TOOLS)
def test_what_another_thread_draws_meanwhile_is_drawn_once_and_in_order(name: str) -> None:
    build, use = TOOLS[name]
    net = build()
    seeded()
    stop, found = threading.Event(), [drawn()]

    def draw() -> None:
        while not stop.wait(1e-4):
            found.append(drawn())

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        use(net)
    finally:
        stop.set()
        thread.join()
    after = drawn()
    seeded()
    assert [*found, after] == [drawn() for _ in range(len(found) + 1)]


@pytest.mark.parametrize("name", TOOLS)
def test_afterwards_all_is_as_if_nothing_had_run(name: str) -> None:
    functions = [getattr(torch, each) for each in ("manual_seed", "seed", "get_rng_state", "set_rng_state")]
    functions += [random.random, random.choice, np.random.rand]
    build, use = TOOLS[name]
    net = build()
    seeded()
    before = States.now()
    use(net)
    assert before.same(States.now())
    after = [getattr(torch, each) for each in ("manual_seed", "seed", "get_rng_state", "set_rng_state")]
    assert functions == [*after, random.random, random.choice, np.random.rand]
