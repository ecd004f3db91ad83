"""Predictions beside other threads, which train, predict, inspect and draw: nothing of theirs changes, nor of ours."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.counted_backend import CountedBackend
from tests.run import Run
from torch import Tensor, nn

import thinned

pytestmark = pytest.mark.usefixtures("one_thread")  # by which products are rounded: the same in all threads here

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))


def by_hand(m: Any, x: Tensor) -> Tensor:
    """Every way to draw by torch's functions, in training mode, and one in evaluation as well."""
    x = torch.dropout(m.first(x), 0.3, m.training)
    if m.training:
        x = x * torch.bernoulli(torch.full_like(x, 0.8)) * (torch.rand(x.shape) > 0.2)
        x = x + 0.1 * torch.randn_like(x) + torch.empty_like(x).uniform_(-0.1, 0.1)
    result: Tensor = m.last(F.feature_alpha_dropout(x, 0.2, m.training) + 0.1 * torch.rand_like(x))
    return result


def skipping(m: Any, x: Tensor) -> Tensor:
    if m.training and random.random() < 0.3:
        return m.last(x)  # type: ignore[no-any-return]
    x = m.first(x).relu()
    if m.training:
        x = x * torch.as_tensor(np.random.rand(x.shape[1]) < 0.7)  # noqa: NPY002
    return m.last(x)  # type: ignore[no-any-return]


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def ours() -> nn.Module:
    net = layers()
    thinned.convert(net)
    return net


MODELS: dict[str, Callable[[], nn.Module]] = {
    "layers": layers,
    "by hand": lambda: Run(by_hand, first=nn.Linear(6, 16), last=nn.Linear(16, 3)),
    "random and NumPy": lambda: Run(skipping, first=nn.Linear(6, 6), last=nn.Linear(6, 3)),
    "thinned": ours,
    "attention": lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.3, batch_first=True),
}


@contextmanager
def beside(*works: Callable[[], Any]) -> Iterator[list[list[Any]]]:
    """Each of the works again and again in a thread of its own; its results, in order."""
    results: list[list[Any]] = [[] for _ in works]
    stop, failed = threading.Event(), []
    started = [threading.Event() for _ in works]

    def repeat(which: int) -> None:
        try:
            while not stop.wait(2e-4):  # else the others would wait for Python's lock most of the time
                results[which].append(works[which]())
                started[which].set()
        except BaseException as error:
            failed.append(error)
            started[which].set()

    threads = [threading.Thread(target=repeat, args=(which,)) for which in range(len(works))]
    for thread in threads:
        thread.start()
    for event in started:
        event.wait()
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize("name", MODELS)
def test_what_other_threads_draw_is_drawn_once_and_in_order(name: str) -> None:
    """The sequences of the three generators are those of a process in which nothing else runs."""
    torch.manual_seed(1)
    net = MODELS[name]()
    noisy = nn.Dropout(0.5)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    with beside(
        lambda: noisy(torch.ones(64)), lambda: (random.random(), random.randrange(10**9)), np.random.random_sample
    ) as drawn:
        ask = thinned.Predictor(net, 6)
        for seed in range(3):
            ask(X)
            thinned.predict(net, X, 6, seed=seed)
        thinned.inspect(net, X)
        thinned.weight_scaling(net, X)
        thinned.calibrate(net, (X, X[:, 0]), task="regression", n=2, output=lambda answer: answer[:, 0])
        for network in thinned.thinned_networks(net, 2, X):
            network(X)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    masks = torch.stack(drawn[0])
    assert len(masks.unique(dim=0)) == len(masks)
    assert all(torch.equal(mask, noisy(torch.ones(64))) for mask in masks)
    assert drawn[1] == [(random.random(), random.randrange(10**9)) for _ in drawn[1]]
    assert drawn[2] == [np.random.random_sample() for _ in drawn[2]]  # noqa: NPY002


@pytest.mark.parametrize("name", MODELS)
def test_results_are_those_of_one_thread_alone(name: str) -> None:
    """Bit for bit, beside a thread that draws and one that trains another model and writes its own modes."""
    torch.manual_seed(1)
    net, other = MODELS[name](), layers()
    expected = [thinned.predict(net, X, 6, seed=seed).mean for seed in range(3)]
    ask, other_ask = thinned.Predictor(net, 6), thinned.Predictor(other.eval(), 6)
    of_other = other_ask(X).mean

    def train() -> None:
        other.train()
        other(X).square().mean().backward()
        other.zero_grad()
        random.random()
        np.random.random_sample()  # noqa: NPY002

    with (
        beside(train, lambda: torch.rand(3)),
        ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        one = [pool.submit(thinned.predict, net, X, 6, seed=seed) for seed in (0, 1, 2, 0)]
        same = [pool.submit(ask, X) for _ in range(4)]
        for call, seed in zip(one, (0, 1, 2, 0), strict=True):
            assert torch.equal(call.result().mean, expected[seed])
        assert all(torch.equal(call.result().mean, expected[0]) for call in same)
    other.eval()
    assert other_ask(X).mean.shape == of_other.shape


def test_the_model_in_use_is_never_seen_in_another_mode() -> None:
    """Beside predictions and inspections of it, a model in evaluation answers as ever, and has no hook."""
    torch.manual_seed(1)
    net: Any = layers().eval()
    expected = net(X)

    def seen() -> tuple[Any, ...]:
        hooks = torch.nn.modules.module
        modules = list(net.modules())
        return (
            torch.equal(net(X), expected),
            not any(module.training or module._forward_hooks or module._forward_pre_hooks for module in modules),
            not hooks._global_forward_hooks and not hooks._global_forward_pre_hooks,
            net[3].p == 0.5,
        )

    with beside(seen) as found:
        ask = thinned.Predictor(net, 6, p=0.3)
        for _ in range(3):
            ask(X)
            thinned.inspect(net, X)
            thinned.predict(net, X, 6)
    assert len(found[0]) > 10
    assert all(all(each) for each in found[0])


def test_a_model_in_training_is_predicted_beside_it() -> None:
    """Its batch normalisation counts every step of the training and no pass of ours."""
    torch.manual_seed(1)
    net = layers().train()
    steps = [0]

    def step() -> None:
        net(X).square().mean().backward()
        net.zero_grad()
        steps[0] += 1

    with beside(step):
        ask = thinned.Predictor(net, 4)
        for _ in range(4):
            assert ask(X).std.gt(0).any()
            thinned.inspect(net, X)
    assert int(net[1].num_batches_tracked) == steps[0]  # type: ignore[index]
    assert all(module.training for module in net.modules())


def test_compiled_models_of_other_threads_stay_compiled() -> None:
    """A backend counts its calls: eager ones would pass it by."""
    backend = CountedBackend()
    linear = nn.Linear(6, 3)
    other = torch.compile(lambda x: linear(x), backend=backend)
    other(X)
    net: Any = torch.compile(layers(), backend=backend)
    asked = [0]

    def ask_other() -> None:
        before = backend.calls
        other(X)
        asked[0] += backend.calls - before

    backend.calls = 0
    with beside(ask_other) as found:
        for _ in range(3):
            thinned.predict(net, X, 4)
            thinned.inspect(net, X)
    assert asked[0] == backend.calls == len(found[0])
    backend.calls = 0
    other(X)
    assert backend.calls == 1


def test_networks_may_be_called_by_several_threads() -> None:
    net = Run(by_hand, first=nn.Linear(6, 16), last=nn.Linear(16, 3))
    (network,) = thinned.thinned_networks(net, 1, X)
    expected = network(X)
    with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(lambda _: network(X), range(9)))


def test_a_loader_that_shuffles_draws_its_order_from_no_generator_of_the_process() -> None:
    data: Any = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=4, shuffle=True)
    net = layers()
    state = torch.get_rng_state()
    expected = torch.cat([batch[0] for batch in data])
    torch.set_rng_state(state)
    found = thinned.predict(Run(lambda m, x: m.drop(x) * 0 + x, drop=nn.Dropout(0.5)), data, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found.mean, expected)  # the order that a loop over the loader would have had here
    thinned.predict(net, data, 2)
    assert torch.equal(torch.get_rng_state(), state)
