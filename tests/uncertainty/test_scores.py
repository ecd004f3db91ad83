"""Scores agree with their definitions, computed here another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torch import Tensor, nn

import thinned
from thinned.uncertainty.scores import class_scores, log_mixture, reliability, risk_coverage, value_scores


def rows(seed: int, count: int = 400, classes: int = 4) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    probability = (2 * torch.randn(count, classes, generator=draw)).softmax(1)
    return probability, torch.multinomial(probability, 1, generator=draw).squeeze(1)


def test_class_scores_are_scikit_learn_s() -> None:
    probability, target = rows(0)
    found = class_scores(probability, target)
    p, y = probability.double().numpy(), target.numpy()
    p /= p.sum(1, keepdims=True)
    wrong = p.argmax(1) != y
    assert found.rows == 400
    assert found.accuracy == pytest.approx(1 - wrong.mean())
    assert found.nll == pytest.approx(log_loss(y, p), rel=1e-5)
    assert found.brier == pytest.approx(sum(brier_score_loss(y == c, p[:, c]) for c in range(4)), rel=1e-5)
    assert found.error_auroc == pytest.approx(roc_auc_score(wrong, 1 - p.max(1)), abs=1e-6)
    assert "NLL" in str(found)


def test_ece_and_the_reliability_diagram() -> None:
    probability, target = rows(1)
    found = reliability(probability, target)
    full = found.rows > 0
    gap = (found.accuracy - found.confidence)[full].abs()
    ece = float((gap * found.rows[full]).sum() / 400)
    assert class_scores(probability, target).ece == pytest.approx(ece, abs=1e-6)
    assert int(found.rows.sum()) == 400
    # Targets are drawn by these very probabilities: in each bin, within five standard errors.
    spread = (found.confidence * (1 - found.confidence))[full] / found.rows[full]
    assert bool((gap <= 5 * spread.sqrt() + 1 / found.rows[full]).all())
    axes = found.plot()
    assert len(axes.patches) == int(full.sum())
    assert axes.get_xlabel() == "confidence"


def test_a_sure_classifier_that_is_right_has_nothing_to_find() -> None:
    scores = class_scores(torch.eye(3), torch.arange(3))
    assert (scores.accuracy, scores.nll, scores.brier, scores.ece, scores.aurc) == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert math.isnan(scores.error_auroc)


def test_risk_and_coverage_by_a_loop() -> None:
    probability, target = rows(2, 50)
    unsure, wrong = 1 - probability.amax(1), probability.argmax(1) != target
    coverage, risk = risk_coverage(unsure, wrong)
    order = np.argsort(unsure.numpy(), kind="stable")
    for count in range(1, 51):
        assert float(coverage[count - 1]) == pytest.approx(count / 50)
        assert float(risk[count - 1]) == pytest.approx(wrong.numpy()[order[:count]].mean())
    assert class_scores(probability, target).aurc == pytest.approx(float(risk.mean()))


def test_value_scores() -> None:
    net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1))
    x = torch.randn(200, 3)
    prediction = thinned.predict(net, x, n=40, samples=True)
    assert prediction.samples is not None
    drawn = prediction.samples[..., 0].double().numpy()
    target = prediction.mean[:, 0] + 0.5 * torch.randn(200)
    found = value_scores(prediction, target, sigma=0.5)
    y = target.double().numpy()
    density = np.asarray(stats.norm.pdf(y, drawn, 0.5)).mean(0)
    assert found.log_likelihood == pytest.approx(np.log(density).mean(), rel=1e-6)
    assert found.rmse == pytest.approx(math.sqrt(((drawn.mean(0) - y) ** 2).mean()), rel=1e-6)
    assert found.sharpness == pytest.approx(np.sqrt(drawn.var(0, ddof=1) + 0.25).mean(), rel=1e-6)
    below = np.asarray(stats.norm.cdf(y, drawn, 0.5)).mean(0)
    for level, share in found.coverage.items():
        assert share == pytest.approx((np.abs(2 * below - 1) <= level).mean())
    # Without a sigma: one normal.
    plain = value_scores(prediction, target)
    normal = np.asarray(stats.norm.logpdf(y, drawn.mean(0), drawn.std(0, ddof=1))).mean()
    assert plain.log_likelihood == pytest.approx(normal, rel=1e-5)
    assert found.calibration < plain.calibration
    assert "RMSE" in str(found)


def test_the_mixture_integrates_to_1() -> None:
    drawn = torch.randn(7, 1, dtype=torch.float64)
    grid = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    density = log_mixture(drawn, grid, 0.3).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-9)


def test_errors_say_what_to_do() -> None:
    probability, target = rows(3)
    with pytest.raises(ValueError, match=r"probabilities must be \(N, classes\) and `target` \(N,\)"):
        class_scores(probability, target[:3])
    with pytest.raises(ValueError, match=r"must be class numbers. Got torch.float32. Pass target.long\(\)"):
        reliability(probability, target.float())
    net = nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"Call predict\(..., samples=True\)"):
        value_scores(thinned.predict(net, torch.ones(2, 3), n=2), torch.ones(2))
    with pytest.raises(ValueError, match=r"must have a number for each of 2 outputs. Got 3"):
        value_scores(thinned.predict(net, torch.ones(2, 3), n=2, samples=True), torch.ones(3))
