"""Temperature, p and sigma fit held-out rows, on networks trained on real data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import thinned
from thinned.uncertainty.scores import class_scores, value_scores


def trained(net: nn.Sequential, x: Tensor, y: Tensor, loss: nn.Module, steps: int) -> nn.Sequential:
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        optimiser.zero_grad()
        loss(net(x[rows]), y[rows]).backward()
        optimiser.step()
    return net


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network that is far too sure: 100 rows, learnt by heart."""
    torch.manual_seed(1)
    data = load_digits()
    x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.02), nn.Linear(128, 10))
    return trained(net, x[:100], y[:100], nn.CrossEntropyLoss(), 1500), x[300:], y[300:]


@pytest.mark.long
def test_temperature_is_the_best_there_is(digits: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    net, x, y = digits
    held, tested = slice(0, 500), slice(500, None)
    found = thinned.calibrate(net, DataLoader(TensorDataset(x[held], y[held]), batch_size=128), n=20)
    logits = thinned.predict(net, x[held], n=20, samples=True).samples
    assert logits is not None

    def nll(temperature: float) -> float:
        mean = (logits.double() / temperature).softmax(2).mean(0)
        return -float(mean[torch.arange(500), y[held]].log().mean())

    best = minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8})
    assert found.nll == pytest.approx(best.fun, abs=1e-7)
    assert found.temperature == pytest.approx(best.x, rel=1e-3)
    assert found.nll_before == pytest.approx(nll(1.0), rel=1e-6)
    assert found.p is None
    assert found.rows == 500
    assert "temperature" in repr(found)
    # On rows that calibration has not seen.
    before = class_scores(thinned.predict(net, x[tested], n=20, task="classification"), y[tested])
    after = class_scores(found.predict(x[tested]), y[tested])
    assert after.nll < before.nll
    assert after.ece < before.ece


@pytest.mark.long
def test_p_is_chosen_with_its_own_temperature(digits: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    net, x, y = digits
    found = thinned.calibrate(net, (x[:500], y[:500]), p=(0.05, 0.5), n=20)
    assert set(found.tried) == {None, 0.05, 0.5}
    assert found.tried[found.p] == found.nll == min(found.tried.values())
    for rate in (0.05, 0.5):
        logits = thinned.predict(net, x[:500], n=20, p=rate, samples=True).samples
        assert logits is not None
        best = min(
            -float((logits.double() / t).softmax(2).mean(0)[torch.arange(500), y[:500]].log().mean())
            for t in np.geomspace(0.1, 10, 60)
        )
        assert found.tried[rate] <= best + 1e-9
    prediction = found.predict(x[:10])
    assert prediction.n == 20
    torch.testing.assert_close(
        prediction.mean,
        thinned.predict(net, x[:10], n=20, p=found.p, task="classification", temperature=found.temperature).mean,
    )


def test_sigma_of_regression() -> None:
    torch.manual_seed(2)
    data = load_diabetes()
    x = torch.tensor(data.data / data.data.std(0), dtype=torch.float32)
    y = torch.tensor((data.target - data.target.mean()) / data.target.std(), dtype=torch.float32)[:, None]
    net = nn.Sequential(nn.Linear(10, 50), nn.ReLU(), nn.Dropout(0.1), nn.Linear(50, 1))
    trained(net, x[:250], y[:250], nn.MSELoss(), 400)
    found = thinned.calibrate(net, (x[250:350], y[250:350]), task="regression", n=50)
    prediction = thinned.predict(net, x[250:350], n=50, samples=True)

    def nll(log_sigma: float) -> float:
        return -value_scores(prediction, y[250:350], math.exp(log_sigma)).log_likelihood

    best = minimize_scalar(nll, bounds=(-4, 3), method="bounded", options={"xatol": 1e-8})
    assert found.nll == pytest.approx(best.fun, abs=1e-7)
    assert found.sigma == pytest.approx(math.exp(best.x), rel=1e-3)
    assert 0.3 < found.sigma < 1.2
    tested = value_scores(found.predict(x[350:], samples=True), y[350:], found.sigma)
    # 92 rows: nominal 90 % within the binomial's central 1 - 1e-4.
    assert 0.74 < tested.coverage[0.9] <= 1.0


def test_errors_say_what_to_do() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    with pytest.raises(ValueError, match="`loader` must give targets"):
        thinned.calibrate(net, DataLoader(torch.ones(4, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be a DataLoader or a pair"):
        thinned.calibrate(net, torch.ones(4, 3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`temperature` must be a finite number above 0"):
        thinned.predict(net, torch.ones(4, 3), temperature=0.0)


def test_a_loader_that_shuffles(digits: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    """Targets are taken as their rows go by: in every pass the order is another."""
    net, x, y = digits
    loader = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=128, shuffle=True)
    found = thinned.calibrate(net, loader, n=20, p=(0.1,))
    expected = thinned.calibrate(net, (x[:500], y[:500]), n=20, p=(0.1,))
    # Rows have other masks, and no more.
    assert found.nll == pytest.approx(expected.nll, rel=0.05)
    assert found.temperature == pytest.approx(expected.temperature, rel=0.1)
    rows: Any = [{"x": row, "labels": label} for row, label in zip(x[:500], y[:500], strict=True)]
    named: DataLoader[Any] = DataLoader(rows, batch_size=99)
    same = thinned.calibrate(net, named, n=20, p=(0.1,), inputs=lambda batch: batch["x"])
    assert same.nll == pytest.approx(expected.nll, rel=1e-6)
