"""A unit's runs: what they measure, and that the same arguments give the same bits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits

from thinned.fit.perceptron import Perceptron
from thinned.study.trial.config import Config, Level, Recipe, Unit
from thinned.study.trial.figures import WORST_NLL, figures
from thinned.study.trial.fold import Fold
from thinned.study.trial.one_thread import one_thread
from thinned.study.trial.outcome import Outcome
from thinned.study.trial.unit import as_network, train_unit, weights_again

RECIPE = Recipe(key=0, hidden=(16, 16), batch=25, max_steps=100)
UNIT = Unit(Level("dropout", 0.3), (0.003, 0.01), (0, 1))
ROWS = NDArray[np.int64]


def fold(x: NDArray[Any], y: NDArray[Any], seed: int, **settings: Any) -> Fold:
    rows = np.random.default_rng(seed).permutation(400)
    train, val, test = rows[:150], rows[150:250], rows[250:400]
    return Fold(x[train], y[train], x[val], y[val], x[test], y[test], val, test, **settings)


@pytest.fixture(scope="module")
def digits() -> dict[int, Fold]:
    x, y = load_digits(return_X_y=True)
    return {seed: fold((x / 16).astype(np.float32), y.astype(np.int64), seed, outputs=10) for seed in (0, 1)}


@pytest.fixture(scope="module")
def diabetes() -> dict[int, Fold]:
    x, y = load_diabetes(return_X_y=True)
    mean, scale = float(y.mean()), float(y.std())
    x, z = (20 * x).astype(np.float32), ((y - mean) / scale).astype(np.float32)
    return {seed: fold(x, z, seed, outputs=0, mean=mean, scale=scale) for seed in (0, 1)}


def train(unit: Unit, folds: dict[int, Fold], recipe: Recipe = RECIPE) -> list[Outcome]:
    with one_thread():
        return train_unit(unit, folds, recipe)


def numbers(outcome: Outcome) -> tuple[Any, ...]:
    """All but the time."""
    return (
        outcome.config,
        outcome.best_step,
        outcome.steps,
        outcome.ended,
        outcome.curve,
        outcome.train,
        outcome.val,
        outcome.val_output.tobytes(),
        outcome.test_output.tobytes(),
    )


def test_the_same_arguments_give_the_same_bits_and_torchs_generator_is_left_alone(digits: dict[int, Fold]) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = train(UNIT, digits)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    assert [*map(numbers, one)] == [*map(numbers, train(UNIT, digits))]
    assert [outcome.config for outcome in one] == UNIT.configs()


@pytest.mark.parametrize(
    "level",
    [Level("dropout", 0.4), Level("input", 0.3, p_input=0.2), Level("both", 0.3, weight_decay=1.0)],
    ids=lambda level: level.name,
)
def test_every_part_of_a_level_matters(digits: dict[int, Fold], level: Level) -> None:
    unit = Unit(level, (0.01,), (0,))
    assert numbers(train(unit, digits)[0])[4:] != numbers(train(replace(unit, level=UNIT.level), digits)[0])[4:]


def test_seeds_have_weights_and_rows_of_their_own(digits: dict[int, Fold]) -> None:
    same_rows = {0: digits[0], 1: digits[0]}
    unit = Unit(UNIT.level, (0.01,), (0, 1))
    one, other = train(unit, same_rows)
    assert one.val != other.val
    assert train(unit, digits)[1].val != other.val
    assert train(unit, digits, replace(RECIPE, key=1))[0].val != one.val


def test_it_learns_classes_and_the_figures_are_those_of_the_outputs(digits: dict[int, Fold]) -> None:
    for outcome in train(UNIT, digits, replace(RECIPE, max_steps=300)):
        found = digits[outcome.config.seed]
        assert outcome.val_output.shape == (100, 10)
        assert outcome.test_output.shape == (150, 10)
        assert outcome.test_output.dtype == np.float32
        assert np.mean(outcome.test_output.argmax(1) != found.y_test) < 0.4  # guessing is 0.9
        assert outcome.val.error == pytest.approx(np.mean(outcome.val_output.argmax(1) != found.y_val))
        logits = outcome.val_output.astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        right = logs[np.arange(100), found.y_val]
        assert outcome.val.nll == pytest.approx(-right.mean())
        assert outcome.val.loss == pytest.approx(np.mean((np.exp(logs) ** 2).sum(1) - 2 * np.exp(right) + 1))


def test_numbers_are_measured_in_the_targets_units(diabetes: dict[int, Fold]) -> None:
    for outcome in train(UNIT, diabetes):
        found = diabetes[outcome.config.seed]
        residual = (outcome.val_output[:, 0] - found.y_val).astype(np.float64)
        spread = math.sqrt(np.mean(residual**2))
        assert spread < 0.95  # the mean's is 1
        assert outcome.val.error == pytest.approx(spread * found.scale, rel=1e-5)
        assert outcome.val.loss == pytest.approx(spread**2, rel=1e-5)
        assert outcome.val.nll == pytest.approx(0.5 + math.log(spread * found.scale) + math.log(2 * math.pi) / 2)


def test_a_curve_has_its_kept_state_and_ends_with_the_training(diabetes: dict[int, Fold]) -> None:
    recipe = replace(RECIPE, max_steps=700)
    for outcome in train(UNIT, diabetes, recipe):
        steps = [point.step for point in outcome.curve]
        assert steps[:10] == list(range(10, 101, 10))
        assert steps[10:15] == list(range(140, 301, 40))
        assert steps[-1] == outcome.steps
        assert outcome.ended in ("steps", "converged")
        assert outcome.best_step <= outcome.steps
        assert outcome.best_step in (0, 100, 300, 700)  # the end of a cycle
        ends = [point.val_loss for point in outcome.curve if point.step in (100, 300, 700)]
        assert min(ends) >= outcome.val.loss * (1 - 1e-4)
        kept = [point for point in outcome.curve if point.step == outcome.best_step]
        for point in kept:  # 100 validation rows and 150 training rows: all of them are measured
            assert point.val_error == pytest.approx(outcome.val.error, rel=1e-4)
            assert point.val_nll == pytest.approx(outcome.val.nll, rel=1e-4)
            assert point.train_error == pytest.approx(outcome.train.error, rel=1e-4)
            assert point.train_nll == pytest.approx(outcome.train.nll, rel=1e-4)
        assert outcome.curve[-1].train_loss < outcome.curve[0].train_loss


def test_a_diverged_run_has_an_outcome_and_its_curve_ends_before(diabetes: dict[int, Fold]) -> None:
    good, bad = train(Unit(UNIT.level, (0.01, 1e30), (0,)), diabetes)
    assert (good.ended, bad.ended) == ("steps", "diverged")
    assert len(bad.curve) < len(good.curve)
    assert np.isfinite(bad.test_output).all()


def test_weights_again_give_the_same_answers(digits: dict[int, Fold]) -> None:
    outcomes = train(UNIT, digits)
    wanted = [outcomes[1], outcomes[2]]
    with one_thread():
        states = weights_again(UNIT, digits, RECIPE, [outcome.config for outcome in wanted])
        assert list(states) == [outcome.config for outcome in wanted]
        for outcome in wanted:
            network = as_network(states[outcome.config], outcome.config, RECIPE).eval()
            assert isinstance(network, Perceptron)
            with torch.no_grad():
                answers = network(torch.from_numpy(digits[outcome.config.seed].x_test)).numpy()
            assert np.array_equal(answers, outcome.test_output)
            assert {layer.p for layer in network.dropout} == {0.3}


def test_a_config_of_another_unit_is_no_weights(digits: dict[int, Fold]) -> None:
    with one_thread():
        assert weights_again(UNIT, digits, RECIPE, [Config(UNIT.level, 0.5, 0)]) == {}


@pytest.mark.parametrize("y", [torch.tensor([[0, 1]]), torch.tensor([[0.0, 1.0]])])
def test_an_answer_that_is_no_number_is_a_bad_answer(y: torch.Tensor) -> None:
    outputs = 2 if y.dtype == torch.int64 else 1
    (found,) = figures(torch.full((1, 2, outputs), torch.nan), y, torch.ones(1), torch.ones(1))
    assert found.nll >= WORST_NLL
    assert found.error >= 1.0
    assert found.loss >= 2.0
