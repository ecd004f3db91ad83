"""`threshold`: which rows are believed, and the bound on their error."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import thinned
from thinned.uncertainty.scores import risk_coverage


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes; a row is right with the probability that it states, as if calibrated."""
    generator = torch.Generator().manual_seed(seed)
    sure = 0.5 + 0.5 * torch.rand(count, generator=generator)
    right = torch.rand(count, generator=generator) < sure
    return torch.stack((1 - sure, sure), 1), right.long()


def test_the_lowest_confidence_whose_error_is_small_enough() -> None:
    """By trying all: no lower confidence of a row has so small an error among the rows from there on."""
    probability, target = rows(500, 0)
    probability = (probability * 40).round() / 40  # many rows are equally sure
    sure, wrong = probability.amax(1), probability.argmax(1) != target
    tried = {float(level): float(wrong[sure >= level].double().mean()) for level in sure.unique()}
    for most in (0.0, 0.02, 0.1, 0.3, 1.0):
        found = thinned.threshold(probability, target, most)
        fitting = [level for level, error in tried.items() if error <= most]
        assert found.threshold == min(fitting, default=math.inf)
        assert found.remaining == int((sure >= found.threshold).sum()) == int(found.keeps(sure).sum())
        assert found.rows == 500
        assert math.isnan(found.error) if not fitting else found.error == pytest.approx(tried[found.threshold])
        assert found.coverage == found.remaining / 500


def test_of_a_prediction() -> None:
    net, x = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3)), torch.randn(60, 6)
    found = thinned.predict(net, x, 8, task="classification")
    target = torch.arange(60) % 3
    chosen = thinned.threshold(found, target, 0.5)
    assert int(chosen.keeps(found).sum()) == chosen.remaining
    kept = chosen.keeps(found)
    if chosen.remaining:
        assert float((found.label != target)[kept].double().mean()) == pytest.approx(chosen.error)
    coverage, risk = risk_coverage(found, target)
    by_hand = risk_coverage(1 - found.max_probability, found.label != target)
    assert torch.equal(coverage, by_hand[0])
    assert torch.equal(risk, by_hand[1])
    with pytest.raises(ValueError, match="only a prediction of classes has it"):
        thinned.threshold(thinned.predict(net, x, 4), target)
    with pytest.raises(ValueError, match="only a prediction of classes has it"):
        risk_coverage(thinned.predict(net, x, 4), target)


def test_of_tokens_and_of_labels() -> None:
    net, x = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3)), torch.randn(8, 5, 6)
    tokens = thinned.predict(net, x, 8, task="classification", class_axis=-1)
    target = torch.arange(40).reshape(8, 5) % 3
    target[:, 0] = -100
    found = thinned.threshold(tokens, target, 1.0)
    assert (found.rows, found.remaining) == (32, 32)
    labels = thinned.predict(net, x, 8, task="multilabel")
    found = thinned.threshold(labels, torch.zeros(8, 5, 3).long(), 1.0)
    assert found.rows == 120
    assert found.keeps(labels).shape == (8, 5, 3)


def test_no_threshold_will_do() -> None:
    found = thinned.threshold(torch.tensor([[0.1, 0.9], [0.3, 0.7]]), torch.tensor([0, 0]), 0.1)
    assert (found.threshold, found.remaining) == (math.inf, 0)
    assert not found.keeps(torch.ones(3)).any()
    assert str(found) == "no threshold has an error of at most 0.1 on these 2 rows"


def test_the_bound_holds_on_new_rows() -> None:
    """Of 100 draws of 1000 rows, at most 100 delta plus 5 standard deviations may have a threshold that is too low.

    A row of confidence c is wrong with probability 1 - c, and c is uniform on [0.5, 1]. So from t on (t >= 0.5) the
    error is (1 - t) / 2.
    """
    delta, draws, most = 0.1, 100, 0.2
    fails, coverage, plain = 0, 0.0, 0
    for seed in range(draws):
        probability, target = rows(1000, seed)
        found = thinned.threshold(probability, target, most, delta=delta)
        fails += found.threshold != math.inf and (1 - max(found.threshold, 0.5)) / 2 > most
        coverage += found.coverage / draws
        plain += (1 - thinned.threshold(probability, target, most).threshold) / 2 > most
    assert fails <= draws * delta + 5 * (draws * delta * (1 - delta)) ** 0.5
    assert coverage > 0.4  # of 0.8 that are possible
    assert plain > fails  # what is chosen on the rows without a bound is too low more often


def test_the_bound_by_hand() -> None:
    """300 rows, all equally sure and right: (1 - 0.05)^300 = 2e-7 is below 0.05 / 64. Of 130 it is 0.0013, above."""
    sure = torch.full((300,), 0.95)
    probability = torch.stack((1 - sure, sure), 1)
    found = thinned.threshold(probability, torch.ones(300).long(), 0.05, delta=0.05)
    assert found.threshold <= 0.95
    assert found.remaining == 300
    assert "at most 0.05 on new rows with 0.95" in str(found)
    assert not thinned.threshold(probability[:130], torch.ones(130).long(), 0.05, delta=0.05).remaining
    with pytest.raises(ValueError, match="`delta` must be"):
        thinned.threshold(probability, torch.ones(300).long(), delta=5)
    with pytest.raises(ValueError, match="`max_error` must be"):
        thinned.threshold(probability, torch.ones(300).long(), 5)


def test_what_is_no_uncertainty_is_refused() -> None:
    calls = [
        (torch.rand(5), torch.zeros(5).long(), "`wrong` must be booleans"),
        (torch.rand(5), torch.zeros(4).bool(), "must have one shape"),
        (torch.randn(5, 3), torch.zeros(5).long(), "probabilities must be in"),
        (torch.rand(5, 3).softmax(1), torch.full((5,), 3), "`target` must have classes 0 to 2"),
        (torch.rand(5, 3).softmax(1), torch.zeros(4).long(), r"probabilities must be \(N, classes\)"),
    ]
    for uncertainty, wrong, said in calls:
        with pytest.raises(ValueError, match=said):
            risk_coverage(uncertainty, wrong)
