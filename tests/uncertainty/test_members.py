"""Several networks and their thinned networks as one prediction."""

from __future__ import annotations

import pytest
import torch

from thinned.fit.perceptron import Perceptron
from thinned.uncertainty.members import predict_members
from thinned.uncertainty.predict import predict


def networks(outputs: int, p: float) -> list[Perceptron]:
    """Three of one task; the inputs of each are its own."""
    return [
        Perceptron(4 + seed, (16,), outputs, p, generator=torch.Generator().manual_seed(seed)).eval()
        for seed in range(3)
    ]


def inputs(rows: int) -> list[torch.Tensor]:
    return [torch.randn(rows, 4 + seed, generator=torch.Generator().manual_seed(9 + seed)) for seed in range(3)]


def test_each_network_once() -> None:
    models, x = networks(1, 0.0), inputs(1500)
    found = predict_members(models, x, 0, units=[(1e6, 1.0), (1e6 + 1, 2.0), (1e6, 1.0)])
    with torch.no_grad():
        own = torch.stack([model(rows)[:, 0].double() for model, rows in zip(models, x, strict=True)])
    own = own * torch.tensor([[1.0], [2.0], [1.0]]) + torch.tensor([[1e6], [1e6 + 1], [1e6]], dtype=torch.float64)
    assert found.n == 3
    torch.testing.assert_close(found.mean, own.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.std, own.std(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.quantiles[1], own.median(0).values, rtol=1e-12, atol=0)


def test_thinned_networks_are_spread_evenly() -> None:
    models, x = networks(3, 0.5), inputs(40)
    found = predict_members(models, x, 50, seed=4, task="classification")
    assert found.n == 51
    assert found.places == ("dropout.0",)
    again = predict_members(models, x, 50, seed=4, task="classification")
    assert torch.equal(found.mean, again.mean)
    other = predict_members(models, x, 50, seed=5, task="classification")
    assert not torch.equal(found.mean, other.mean)
    torch.testing.assert_close(found.mean.sum(1), torch.ones(40, dtype=torch.float64))
    assert (found.mutual_information > 0).any()


def test_one_network_is_predict() -> None:
    """With one network the statistics are those of `predict`, with a key of its own."""
    models, x = networks(1, 0.5)[:1], inputs(30)[:1]
    found = predict_members(models, x, 4000, seed=1)
    expected = predict(models[0], x[0], 4000, seed=2)
    error = expected.std.double() * (2 / 4000) ** 0.5  # of a difference of two means
    assert ((found.mean - expected.mean).abs() < 5 * error).all()
    torch.testing.assert_close(found.std, expected.std.double(), rtol=0.1, atol=0)


def test_a_rate_for_all() -> None:
    models, x = networks(1, 0.0), inputs(10)
    with pytest.raises(ValueError, match="`predict`"):
        predict_members(models, x, 30)
    found = predict_members(models, x, 30, p={"dropout.*": 0.2})
    once = predict_members(models, x, 0)
    assert not torch.equal(found.std, once.std)
    assert [layer.p for model in models for layer in model.dropout] == [0.0] * 3
