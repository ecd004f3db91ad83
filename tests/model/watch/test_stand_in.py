"""Modules wherever a model holds them: in a copy that runs in its place, and in reach of `set_rates`.

A copy is whole, shares the parameters, and leaves the model alone.
"""

from __future__ import annotations

import threading
import weakref
from collections import ChainMap, UserDict, defaultdict, deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.run import Run
from torch import Tensor, nn

import thinned
from thinned.model.watch.stand_in import StandIn

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


class Slots:
    __slots__ = ("drop",)

    def __init__(self, drop: nn.Module) -> None:
        self.drop = drop


class Holder:
    """Holds a module and itself, and a lock, which nothing copies."""

    def __init__(self, drop: nn.Module) -> None:
        self.drop, self.me, self.lock = drop, self, threading.Lock()

    def __call__(self, x: Tensor) -> Tensor:
        with self.lock:
            found: Tensor = self.me.drop(x)
            return found


def closed(drop: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: drop(x)


def with_default(drop: nn.Module) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor, inner: nn.Module = drop) -> Tensor:
        found: Tensor = inner(x)
        return found

    return call


def called(drop: Any, x: Tensor) -> Tensor:
    found: Tensor = drop(x)
    return found


# What a model may hold a module in, and how it is called there.
HOLDS: dict[str, tuple[Callable[[nn.Module], Any], Callable[[Any, Tensor], Any]]] = {
    "attribute": (lambda drop: drop, called),
    "list": (lambda drop: [drop], lambda held, x: held[0](x)),
    "nested": (lambda drop: {"a": ((drop, 1), [2])}, lambda held, x: held["a"][0][0](x)),
    "closure": (closed, called),
    "default": (with_default, called),
    "method": (lambda drop: drop.forward, called),
    "partial": (lambda drop: partial(called, drop), called),
    "weak reference": (weakref.ref, lambda held, x: held()(x)),
    "weak proxy": (weakref.proxy, called),
    "weak proxy in a list": (lambda drop: [weakref.proxy(drop)], lambda held, x: held[0](x)),
    "weak values": (lambda drop: weakref.WeakValueDictionary(a=drop), lambda held, x: held["a"](x)),
    "weak keys": (lambda drop: weakref.WeakKeyDictionary({drop: 1}), lambda held, x: next(iter(held))(x)),
    "weak set": (lambda drop: weakref.WeakSet([drop]), lambda held, x: next(iter(held))(x)),
    "key": (lambda drop: {drop: 1, "b": 2}, lambda held, x: next(iter(held))(x)),
    "key of another type": (lambda drop: defaultdict(int, {drop: 1}), lambda held, x: next(iter(held))(x)),
    "default factory": (lambda drop: defaultdict(lambda: drop), lambda held, x: held["a"](x)),
    "chain of maps": (lambda drop: ChainMap({}, {"a": drop}), lambda held, x: held["a"](x)),
    "user's mapping": (lambda drop: UserDict(a=drop), lambda held, x: held["a"](x)),
    "cached function": (lambda drop: lru_cache(lambda: drop), lambda held, x: held()(x)),
    "slots": (Slots, lambda held, x: held.drop(x)),
    "holder": (Holder, called),
    "deque": (lambda drop: deque([drop], 2), lambda held, x: held[0](x)),
    "namespace in a list": (lambda drop: [SimpleNamespace(drop=drop)], lambda held, x: held[0].drop(x)),
}


# Nothing is copied of these.
OUTSIDE: dict[str, tuple[Callable[[nn.Module], Any], Callable[[Any, Tensor], Any]]] = {
    "weak method": (lambda drop: weakref.WeakMethod(drop.forward), lambda held, x: held()(x)),
    "context variable": (lambda drop: ContextVar("drop", default=drop), lambda held, x: held.get()(x)),
}


@pytest.mark.parametrize("kind", HOLDS)
def test_modules_are_copied_wherever_they_are_held(kind: str) -> None:
    """The model is in training, and no forward of its own modules runs; the copies in evaluation drop nothing."""
    hold, call = HOLDS[kind]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)
            object.__setattr__(self, "held", hold(self.drop))

        def forward(self, x: Tensor) -> Any:
            return self.last(call(self.held, x))

    net = Net()
    ran: list[nn.Module] = []
    net.drop.forward = lambda x: ran.append(net.drop) or F.dropout(x, 0.5, net.drop.training)  # type: ignore
    twin = StandIn(net).module.eval()
    if kind != "method":  # of the class: it was taken before
        assert torch.equal(twin(X), net.last(X))
        assert ran == [twin.drop]
    assert net.drop.training
    assert next(twin.parameters()) is next(net.parameters())
    del net.drop.forward
    found = thinned.predict(net, X, 6)
    if kind == "method":  # the call is the model's own: another place, with other masks
        assert found.std.gt(0).any()
        return
    plain = thinned.predict(Run(lambda m, x: m.last(m.drop(x)), drop=net.drop, last=net.last), X, 6)
    assert torch.equal(found.mean, plain.mean)
    assert net.training


def test_what_the_model_writes_stays_in_the_copy() -> None:
    class Writes(nn.Module):
        count: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(6), nn.Dropout(0.5)
            self.register_buffer("count", torch.zeros(1))
            self.seen: list[Any] = []
            self.cache: dict[str, Any] = {"old": 1}
            self.calls = 0

        def forward(self, x: Tensor) -> Any:
            self.count += 1
            self.calls += 1
            self.seen.append(x)
            self.cache["x"] = x
            return self.drop(self.norm(x))

    net = Writes()
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    thinned.inspect(net, X)
    thinned.predict(net, X, 4)
    thinned.weight_scaling(net, X)
    thinned.thinned_networks(net, 1, X)
    assert (net.seen, net.cache, net.calls) == ([], {"old": 1}, 0)
    assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers())


def test_a_copy_made_again_is_like_the_model_is_now() -> None:
    net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    stand_in = StandIn(net)
    twin = stand_in.module
    modules = list(twin.modules())
    twin[2].p, twin[1].training = 0.1, False  # type: ignore[index]
    net[0].weight = nn.Parameter(torch.zeros(6, 6))
    with torch.no_grad():
        net[1].running_mean.fill_(3.0)  # type: ignore[operator]
    stand_in.refresh()
    assert [*stand_in.module.modules()] == modules
    assert twin[2].p == 0.5  # type: ignore[index]
    assert twin[1].training  # type: ignore[index]
    assert twin[0].weight is net[0].weight  # type: ignore[index]
    assert twin[1].running_mean.eq(3.0).all()  # type: ignore[index]
    assert twin[1].running_mean is not net[1].running_mean  # type: ignore[index]
    assert stand_in.original(modules[2]) is net[1]
    assert stand_in.original(net) is net


def test_a_generator_of_the_model_is_not_drawn_from() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = torch.Generator().manual_seed(7)
            self.last = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Any:
            kept = torch.rand(x.shape, generator=self.own) > 0.5
            return self.last(x * kept if self.training else x)

    net = Own()
    state = net.own.get_state()
    thinned.inspect(net, X)
    assert thinned.predict(net, X, 4).std.gt(0).any()
    assert torch.equal(net.own.get_state(), state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: nn.utils.parametrizations.weight_norm(net, "weight"),
        lambda net: nn.utils.parametrizations.spectral_norm(net),
        lambda net: torch.fx.symbolic_trace(net),
        lambda net: torch.jit.script(net),
    ],
    ids=["weight norm", "spectral norm", "graph", "script"],
)
def test_layers_that_torch_has_changed(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    inner = wrap(nn.Linear(6, 6))
    net = nn.Sequential(inner, nn.Dropout(0.5)).eval()
    expected = net(X).detach()
    assert torch.equal(StandIn(net).module.eval()(X), expected)
    found = thinned.predict(net, X, 8, samples=True).samples
    assert found is not None
    assert ((found == 0) | (found - 2 * expected < 1e-5)).all()


def test_a_rate_set_in_a_list_is_that_of_the_model() -> None:
    """Where noise is found by running a copy, what is set is the model's own module."""
    net = Run(lambda m, x: m.drops[0](x))
    net.drops = [nn.Dropout(0.5)]  # type: ignore[assignment]
    thinned.set_rates(net, {"*": 0.25}, example=X)
    assert net.drops[0].p == 0.25  # type: ignore[index, union-attr]


@pytest.mark.parametrize("kind", [*HOLDS, *OUTSIDE])
@pytest.mark.parametrize("example", [None, X])
def test_set_rates_reaches_modules_wherever_they_are_held(kind: str, example: Tensor | None) -> None:
    hold, call = (HOLDS | OUTSIDE)[kind]
    drop, net = nn.Dropout(0.5), Run(lambda m, x: call(m.held, x))
    object.__setattr__(net, "held", hold(drop))
    if kind == "default factory":
        net(X)  # now it is an entry
    thinned.set_rates(net, {"*": 0.0}, example=example)
    assert drop.p == 0.0
    assert torch.equal(net(X), X)


def test_a_number_is_found_by_its_module_in_the_copy() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.scales = {self.drop: 3.0}

        def forward(self, x: Tensor) -> Any:
            return self.drop(x) * self.scales[self.drop]

    net = Scaled()
    twin: Any = StandIn(net).module.eval()
    assert torch.equal(twin(X), X * 3)
    assert [*twin.scales] == [twin.drop]
    assert [*net.scales] == [net.drop]
    assert (thinned.predict(net, X, 6).std > 0).any()


def test_a_proxy_of_a_module_that_is_gone_holds_nothing() -> None:
    net = nn.Sequential(nn.Dropout(0.5))
    gone = nn.Dropout(0.5)
    net[0].parents = [  # type: ignore[assignment]
        weakref.proxy(gone),
        weakref.ref(gone),
    ]
    del gone
    assert [place.name for place in thinned.inspect(net, X).places] == ["0"]
    thinned.set_rates(net, {"*": 0.25})
    assert net[0].p == 0.25


def test_a_module_and_the_way_back_to_its_parent() -> None:
    """The parent's other dropout is not the child's."""
    parent = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    parent[1].parents = [  # type: ignore[assignment]
        weakref.proxy(parent),
        weakref.ref(parent),
    ]
    thinned.set_rates(parent[1], {"*": 0.25})
    assert [drop.p for drop in parent] == [0.5, 0.25]
    thinned.set_rates(parent, {"*": 0.125})
    assert [drop.p for drop in parent] == [0.125, 0.125]
