"""What test rows say of a level: figures and paired differences as computed by hand on a few rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from thinned.study.answer.standing import NLL_TEMPERED, Answered, Standing, tempered_nll
from thinned.study.trial.fold import Fold

TRUTH = np.array([0, 1, 1, 0])
EVEN = np.log([[0.5, 0.5]] * 4).astype(np.float32)  # on validation rows: no temperature makes it better


def answers(p_of_one: list[float], val: NDArray[np.float32] = EVEN) -> Answered:
    """Logits whose softmax gives class 1 these probabilities on the test rows."""
    p = np.array(p_of_one)
    return Answered(val, np.log(np.stack([1 - p, p], axis=1)).astype(np.float32))


def fold(y_test: NDArray[np.int64] = TRUTH) -> Fold:
    none = np.zeros((0, 1), dtype=np.float32)
    numbers = np.arange(4)
    return Fold(none, y_test[:0], none, TRUTH, none, y_test, numbers, numbers, 2)


FIRST = {0: answers([0.2, 0.9, 0.4, 0.1]), 1: answers([0.3, 0.8, 0.7, 0.6])}  # wrong: row 2 of seed 0, row 3 of seed 1
SECOND = {0: answers([0.2, 0.1, 0.4, 0.1]), 1: answers([0.3, 0.8, 0.2, 0.6]), 2: answers([0.9, 0.1, 0.1, 0.9])}
FOLDS = {seed: fold() for seed in range(3)}


def likelihood(answered: Answered) -> float:
    p = np.exp(answered.test_output.astype(np.float64))
    return float(-np.log(p[np.arange(4), TRUTH]).mean())


def test_figures_by_hand() -> None:
    standing = Standing((FIRST,), FOLDS)
    assert [block.tolist() for block in standing.rows("error")] == [[[0, 0, 1, 0], [0, 0, 0, 1]]]
    assert standing.mean("error") == standing.estimate("error").value == 0.25
    assert standing.mean("nll") == pytest.approx(np.mean([likelihood(FIRST[0]), likelihood(FIRST[1])]), 1e-6)
    squares = [2 * 0.2**2, 2 * 0.1**2, 2 * 0.6**2, 2 * 0.1**2, 2 * 0.3**2, 2 * 0.2**2, 2 * 0.3**2, 2 * 0.6**2]
    assert standing.mean("brier") == pytest.approx(np.mean(squares), 1e-6)


def test_a_difference_is_paired_over_the_seeds_that_both_have() -> None:
    first, second = Standing((FIRST,), FOLDS), Standing((SECOND,), FOLDS)
    found = second.minus(first, "error")
    assert first.pairs(second) == 2
    assert found.value == pytest.approx((1 + 1) / 8)  # row 1 of seed 0 and row 2 of seed 1 beside the same two
    assert found.low < found.value < found.high
    assert (found.seeds, found.rows) == (2, 4)
    back = first.minus(second, "error")
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    by_hand = np.mean([likelihood(SECOND[seed]) - likelihood(FIRST[seed]) for seed in (0, 1)])
    assert second.minus(first, "nll").value == pytest.approx(by_hand, 1e-6)


def test_outer_splits_weigh_by_their_rows() -> None:
    """Two splits of 4 and 2 test rows: each row once."""
    short = fold(TRUTH[:2])
    few = {2: Answered(EVEN, FIRST[0].test_output[:2]), 3: Answered(EVEN, 5 * FIRST[1].test_output[:2][:, ::-1])}
    standing = Standing((FIRST, few), {0: fold(), 1: fold(), 2: short, 3: short})
    assert standing.mean("error") == pytest.approx((4 * 0.25 + 2 * 0.5) / 6)
    assert standing.estimate("error").value == pytest.approx(standing.mean("error"))


def test_the_temperature_comes_from_validation_rows_alone() -> None:
    """Validation answers that are ten times too sure: their temperature is far above 1, and serves the test rows."""
    sure = np.array([[10.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 0.0]], dtype=np.float32)  # one of four is wrong
    answered = answers([0.2, 0.9, 0.4, 0.1], sure)
    temperature, error, nll, tempered = tempered_nll(answered, fold())
    assert temperature == pytest.approx(10 / np.log(3), 1e-3)  # 3 of 4 right: probability 0.75
    assert error == 0.25
    assert nll == pytest.approx(likelihood(answered), 1e-6)
    z = answered.test_output.astype(np.float64) / temperature
    by_hand = np.log(np.exp(z).sum(axis=1)) - z[np.arange(4), TRUTH]
    assert tempered == pytest.approx(by_hand.mean(), 1e-5)
    standing = Standing(({0: answered, 1: answered},), FOLDS)
    assert standing.minus(standing, NLL_TEMPERED).value == 0


def test_numbers_have_a_width_from_validation_residuals() -> None:
    y_val, y_test = np.array([0.0, 1.0], dtype=np.float32), np.array([1.0, -1.0], dtype=np.float32)
    none = np.zeros((0, 1), dtype=np.float32)
    one = Fold(none, y_val[:0], none, y_val, none, y_test, np.arange(2), np.arange(2), 0, mean=10.0, scale=3.0)
    answered = Answered(np.array([[0.5], [0.5]], np.float32), np.array([[1.0], [0.0]], np.float32))
    temperature, error, nll, tempered = tempered_nll(answered, one)
    assert temperature == 1
    assert nll == tempered
    sigma = 0.5 * 3  # of residuals, in the target's units
    by_hand = [r**2 / (2 * sigma**2) + np.log(sigma * np.sqrt(2 * np.pi)) for r in (0.0, 3.0)]
    assert nll == pytest.approx(np.mean(by_hand), 1e-6)
    assert error == pytest.approx(np.sqrt((0 + 3.0**2) / 2), 1e-6)
