"""Single thinned networks: they are the samples of `predict`, smaller where whole units are gone."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tests.models import made
from torch import Tensor, nn

import thinned
import thinned.nn
from thinned.uncertainty.networks import FixedMask, KeyedNetwork


def trained_norms(net: nn.Module, row: tuple[int, ...]) -> nn.Module:
    for _ in range(5):
        net(2 + torch.randn(16, *row))
    return net


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", ["MLP", "CNN"])
def test_dropped_units_are_cut_out(name: str) -> None:
    net, x = made(name, 5)
    trained_norms(net, x.shape[1:])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    networks = thinned.thinned_networks(net, 4, x[:2], seed=9)
    samples = thinned.predict(net, x, n=4, seed=9, shared_masks=True, samples=True).samples
    assert samples is not None
    for network, sample in zip(networks, samples, strict=True):
        assert not any(isinstance(module, nn.Dropout | nn.Dropout2d | FixedMask) for module in network.modules())
        assert parameters(network) < 0.7 * parameters(net)
        assert str(network)  # sizes in repr are those of the weights
        torch.testing.assert_close(network(x), sample, rtol=1e-4, atol=1e-5)
        assert torch.equal(network(x), network(x))
        copied = pickle.loads(pickle.dumps(network))
        assert torch.equal(copied(x), network(x))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    sizes = {network[0].weight.shape[0] for network in networks}  # type: ignore[index]
    assert len(sizes) > 1


def test_where_nothing_can_be_cut_masks_are_fixed() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 16, 2))
    x = torch.randn(5, 3, 6, 6)
    (network,) = thinned.thinned_networks(net, 1, x[:2], seed=3)
    assert isinstance(network, nn.Sequential)
    assert isinstance(network[2], FixedMask)
    sample = thinned.predict(net, x, n=1, seed=3, shared_masks=True).mean
    torch.testing.assert_close(network(x), sample, rtol=1e-4, atol=1e-5)


def test_a_residual_s_units_stay() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.drop, self.outer = nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.outer(x + self.drop(self.inner(x)))
            return result

    x = torch.randn(5, 6)
    (network,) = thinned.thinned_networks(Residual(), 1, x[:2])
    assert isinstance(network.get_submodule("drop"), FixedMask)


@pytest.mark.parametrize(
    "net",
    [
        made("functional")[0],
        nn.TransformerEncoderLayer(6, 2, 12, 0.3, batch_first=True),
        nn.Sequential(nn.Linear(6, 8), nn.AlphaDropout(0.3), nn.Linear(8, 2)),
        nn.Sequential(nn.Linear(6, 8), thinned.nn.Dropout(0.3, scaling="classic"), nn.Linear(8, 2)),
    ],
    ids=["functional", "transformer", "alpha", "classic"],
)
def test_other_noise_is_drawn_by_the_same_key(net: Any) -> None:
    x = torch.randn(4, 6) if not isinstance(net, nn.TransformerEncoderLayer) else torch.randn(4, 5, 6)
    networks = thinned.thinned_networks(net, 3, x[:2], seed=4)
    samples = thinned.predict(net, x, n=3, seed=4, shared_masks=True, samples=True).samples
    assert samples is not None
    for network, sample in zip(networks, samples, strict=True):
        assert isinstance(network, KeyedNetwork)
        torch.testing.assert_close(network(x), sample, rtol=1e-4, atol=1e-5)
        assert torch.equal(network(x[1:3]), network(x[1:3]))
        assert not any(module.training for module in network.modules())
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool:
            elsewhere = pool.submit(network, x).result()
        for same in (copy.deepcopy(network)(x), pickle.loads(pickle.dumps(network))(x), elsewhere):
            assert torch.equal(same, network(x))


def test_the_geometric_mean_over_all_networks_of_a_softmax_is_weight_scaling() -> None:
    # Every mask of six units, each as likely as the other at p = 0.5: the mean of the logits is exact.
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    last: Any = net[1]
    logs = [last(2.0 * x * torch.tensor(mask)).log_softmax(1) for mask in itertools.product((0.0, 1.0), repeat=6)]
    exact = torch.stack(logs).mean(0).softmax(1)
    torch.testing.assert_close(thinned.weight_scaling(net, x).softmax(1), exact, rtol=1e-12, atol=0)
    n = 4000
    found = thinned.geometric_mean(net, x, n)
    # Logits are means of n draws: five standard errors of the largest, to first order.
    spread = float((2.0 * x[:, None, :] * last.weight.detach()).square().sum(-1).max().sqrt()) / 2.0
    assert (found.double() - exact).abs().max() < 5 * spread / math.sqrt(n)


def test_weight_scaling_leaves_the_model_alone() -> None:
    net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)).train()
    x = torch.randn(4, 6)
    mean = net[1].running_mean.clone()  # type: ignore[operator]
    answer = thinned.weight_scaling(net, x)
    assert net.training
    assert torch.equal(net[1].running_mean, mean)  # type: ignore[arg-type]
    assert not answer.requires_grad
    assert torch.equal(thinned.weight_scaling(net, (x,)), answer)


def test_errors_say_what_to_do() -> None:
    net = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5))
    with pytest.raises(TypeError, match="an example must follow `k`"):
        thinned.thinned_networks(net, 2)
    with pytest.raises(ValueError, match=r"`k` must be an integer, 1 or more. Got 0"):
        thinned.thinned_networks(net, 0, torch.ones(2, 6))
    with pytest.raises(TypeError, match="`task` is not among its arguments"):
        thinned.geometric_mean(net, torch.ones(2, 6), task="regression")


def test_a_bound_for_each_unit_is_not_pruned_through() -> None:
    """`clamp` takes tensors for its bounds, which would keep their width."""

    class Bounded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.drop, self.last = torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2)
            self.least = torch.nn.Parameter(torch.zeros(8))

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.last(self.drop(self.first(x).clamp(min=self.least)))
            return result

    x = torch.randn(3, 4)
    (network,) = thinned.thinned_networks(Bounded(), 1, x, seed=0)
    assert network(x).shape == (3, 2)
