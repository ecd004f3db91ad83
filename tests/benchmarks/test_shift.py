"""Digits, changed; and averages of thinned networks: the rows say what the library says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss, roc_auc_score

import thinned
from benchmarks import averages, shift

from .run import read, run

UPDATES, SAMPLES = 40, 4


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "TRAINING", 300)
    monkeypatch.setattr(shift, "HELD", 100)
    monkeypatch.setattr(shift, "TESTED", 100)


def command(name: str, path: Path) -> str:
    return run(name, "--seeds", 0, "--updates", UPDATES, "--samples", SAMPLES, "--csv", path)


def test_every_set_and_predictor(tmp_path: Path) -> None:
    path = tmp_path / "shift.csv"
    command("shift", path)
    rows = read(path)
    sets = list(dict.fromkeys(row["set"] for row in rows))
    assert sets[0] == shift.CLEAN
    assert len(sets) == 8
    assert [(row["set"], row["predictor"]) for row in rows] == [(s, p) for s in sets for p in shift.PREDICTORS]
    train, _, test = shift.parts(0)
    net = shift.trained(0, train, updates=UPDATES)
    turned = dict(shift.shifted(test.x, 0))["rotated 30°"]
    found = thinned.predict(net, turned, SAMPLES, task="classification")
    clean = thinned.predict(net, test.x, SAMPLES, task="classification")
    (row,) = (row for row in rows if (row["set"], row["predictor"]) == ("rotated 30°", shift.SAMPLED))
    assert float(row["nll"]) == pytest.approx(
        log_loss(test.y.numpy(), found.probability.numpy(), labels=range(10)), rel=1e-3
    )
    assert float(row["mutual_information"]) == pytest.approx(float(found.mutual_information.mean()), abs=1e-4)
    uncertainty = torch.cat((clean.entropy, found.entropy))
    expected = roc_auc_score([0] * 100 + [1] * 100, uncertainty)
    assert float(row["found_by_entropy"]) == pytest.approx(expected, abs=1e-3)
    assert "seed 0: recorded before" in command("shift", path)
    assert read(path) == rows


def test_digits_turn_to_the_left() -> None:
    image = torch.zeros(28, 28)
    image[10, 20] = 1.0
    turned = shift.rotated(image.reshape(1, 784), 90).reshape(28, 28)
    torch.testing.assert_close(turned, torch.rot90(image), atol=1e-4, rtol=0)


def test_the_temperature_is_the_best_there_is() -> None:
    target = torch.randint(5, (200,))
    logits = 4 * torch.randn(200, 5) + 3 * torch.nn.functional.one_hot(target, 5)
    best = minimize_scalar(
        lambda t: float(torch.nn.functional.cross_entropy(logits / t, target)), bounds=(0.1, 20), method="bounded"
    )
    assert shift.fitted_temperature(logits, target) == pytest.approx(best.x, rel=0.01)


def test_averages(tmp_path: Path) -> None:
    path = tmp_path / "averages.csv"
    command("averages", path)
    rows = read(path)
    assert [row["networks"] for row in rows] == [averages.SCALED, "1", "2"]
    train, _, test = shift.parts(0)
    net = shift.trained(0, train, updates=UPDATES)
    drawn = thinned.predict(net, test.x, SAMPLES, task="classification", samples=True).samples
    assert drawn is not None
    for row, probability in zip(
        rows, (thinned.weight_scaling(net, test.x).softmax(1), drawn[0], drawn[:2].mean(0)), strict=True
    ):
        wrong = (probability.argmax(1) != test.y).double().mean()
        assert float(row["error"]) == pytest.approx(float(wrong), abs=1e-4)
        expected = log_loss(test.y.numpy(), probability.numpy(), labels=range(10))
        assert float(row["nll"]) == pytest.approx(expected, rel=1e-3)
        assert float(row["modules_apart"]) < 1e-5
        assert 0.3 < float(row["parameters_left"]) < 0.5  # half of the units on both sides of each weight
    assert "seed 0: recorded before" in command("averages", path)
