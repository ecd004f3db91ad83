"""Out-of-fold answers, the interval of a new value, one temperature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import norm
from sklearn.datasets import load_diabetes

from thinned.study.answer.together import (
    SeedNetwork,
    combined,
    offsets,
    out_of_fold,
    probabilities,
    residuals_of,
    temperature_of,
    together,
)
from thinned.study.trial.fold import Fold

Rows = NDArray[np.float64]
Fitted = Callable[[Rows, Rows, int], tuple[list[SeedNetwork], list[Rows]]]


def member(
    val_rows: list[int],
    y_val: list[float],
    val: object,
    test: object,
    outputs: int = 0,
    mean: float = 0.0,
    scale: float = 1.0,
) -> SeedNetwork:
    x = np.zeros((0, 1), dtype=np.float32)
    kind: Any = np.int64 if outputs else np.float32
    y: NDArray[Any] = np.array(y_val, dtype=kind)
    test_output = np.asarray(test, dtype=np.float32)
    y_test: NDArray[Any] = np.arange(len(test_output)).astype(kind)
    rows = np.array(val_rows, dtype=np.int64)
    fold = Fold(x, y[:0], x, y, x, y_test, rows, 100 + np.arange(len(y_test)), outputs, mean, scale)
    return SeedNetwork(fold, np.asarray(val, dtype=np.float32), test_output)


def test_a_row_is_answered_by_those_that_did_not_learn_from_it() -> None:
    found = out_of_fold(
        [
            member([7, 2], [1.0, -1.0], [[0.5], [0.0]], [[0.0]], mean=10.0, scale=2.0),
            member([2, 5], [-2.0, 0.0], [[1.0], [2.0]], [[0.0]], mean=12.0, scale=2.0),
        ]
    )
    assert found.rows.tolist() == [2, 5, 7]
    assert found.output.tolist() == [(10.0 + 14.0) / 2, 16.0, 11.0]
    assert found.y.tolist() == [8.0, 12.0, 12.0]
    assert found.members.tolist() == [2, 1, 1]


def test_probabilities_are_averaged_and_not_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=5, size=(3, 4, 2, 3))  # tables of three seeds, four rows of validation, ...
    members = [member([0, 1 + i, 9, 5 + i], [0, 1, 2, 1], logits[i, :, 0], np.zeros((1, 3)), 3) for i in range(3)]
    found = out_of_fold(members)
    assert found.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 9]
    assert found.members.tolist() == [3, 1, 1, 1, 1, 1, 1, 3]
    mean = np.mean([softmax(logits[i, 2, 0].astype(np.float32).astype(float)) for i in range(3)], axis=0)
    assert np.exp(found.output[-1]) == pytest.approx(mean, rel=1e-12)
    assert np.exp(found.output).sum(axis=1) == pytest.approx(1, rel=1e-12)
    assert found.y.dtype == np.int64
    assert found.output[-1] == pytest.approx(together([one.val_output[2:3] for one in members])[0], rel=1e-12)


def test_extreme_logits_stay_numbers() -> None:
    found = together([np.array([[0.0, 9000.0]]), np.array([[0.0, 8000.0]])])
    assert found[0] == pytest.approx([-8000 - math.log(2), 0.0])


def test_a_temperature_of_the_mean() -> None:
    log_mean = np.log(np.array([[0.9, 0.1], [0.5, 0.5]]))
    found = probabilities(log_mean, 2.0)
    assert found[0, 0] == pytest.approx(3 / (3 + 1))  # the ratio of the two is the square root of 9
    assert found[1].tolist() == [0.5, 0.5]
    assert probabilities(log_mean) == pytest.approx(np.exp(log_mean))


def test_the_temperature_is_fitted_on_what_it_is_applied_to() -> None:
    """Labels drawn at a known temperature of the mean: it is found again, as well as 4,000 rows can tell."""
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=3.0, size=(4, 4000, 3)).astype(np.float32)
    truth = probabilities(together(list(logits)), 2.5)
    y = (rng.random((4000, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    rows = list(range(4000))
    members = [member(rows, y.tolist(), z, np.zeros((1, 3)), outputs=3) for z in logits]
    found = temperature_of(members)
    log_mean = together(list(logits))
    # The likelihood's curvature at the truth: the variance of log p under p, summed over rows, by 1 / T^4.
    spread = (truth * log_mean**2).sum(axis=1) - (truth * log_mean).sum(axis=1) ** 2
    error = 2.5**2 / math.sqrt(float(spread.sum()))
    assert abs(found - 2.5) < 4 * error
    assert error < 0.2


def test_numbers_have_no_temperature_and_classes_no_residuals() -> None:
    assert temperature_of([member([0], [1.0], [[0.0]], [[0.0]])]) == 1.0
    assert len(residuals_of([member([0], [1], [[0.0, 1.0]], [[0.0, 1.0]], outputs=2)])) == 0


def test_the_ranks_of_the_interval() -> None:
    residuals = np.arange(1.0, 40.0)  # 39
    assert offsets(residuals) == (1.0, 39.0)
    assert offsets(residuals[:-1]) == (-math.inf, math.inf)
    assert offsets(residuals, 0.9) == (2.0, 38.0)
    assert offsets(np.arange(1.0, 80.0)) == (2.0, 78.0)
    assert offsets(np.zeros(0)) == (-math.inf, math.inf)


def test_together_on_test_rows() -> None:
    members = [
        member([0, 1], [1.0, -1.0], [[0.0], [0.0]], [[1.0], [1.0]], scale=2.0),
        member([0, 1], [1.0, -1.0], [[0.0], [0.0]], [[0.0], [2.0]], scale=2.0),
    ]
    error, nll = combined(members)  # means 1 and 3, targets 0 and 2, residuals of standard deviation 2
    assert error == pytest.approx(1.0)
    assert nll == pytest.approx(-norm.logpdf(1.0, scale=2.0))
    logits = [[[2.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]
    members = [member([0], [0], [[0.0, 0.0]], z, outputs=2) for z in logits]
    error, nll = combined(members, temperature=2.0)
    mean = (softmax(logits[0], axis=1) + 0.5) / 2
    tempered = np.sqrt(mean) / np.sqrt(mean).sum(axis=1, keepdims=True)
    assert error == 0.5
    assert nll == pytest.approx(-(math.log(tempered[0, 0]) + math.log(tempered[1, 1])) / 2)


def test_other_test_rows_are_refused() -> None:
    members = [member([0], [1.0], [[0.0]], [[0.0]] * rows) for rows in (2, 3)]
    with pytest.raises(ValueError, match="must have the same test rows"):
        combined(members)


def diabetes_like(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    """Ten correlated columns and half of the variance explained, like scikit-learn's diabetes set."""
    x, y = load_diabetes(return_X_y=True)
    coefficients = np.linalg.lstsq(x, y - y.mean(), rcond=None)[0]
    new = rng.multivariate_normal(np.zeros(10), np.cov(x.T), size=rows)
    return new, 152 + new @ coefficients + rng.normal(scale=54, size=rows)


def heteroscedastic(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    x = rng.normal(size=(rows, 3))
    return x, x.sum(axis=1) + rng.normal(size=rows) * (0.2 + np.abs(x[:, 0]))


def heavy_tails(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    x = rng.normal(size=(rows, 3))
    return x, x.sum(axis=1) + rng.standard_t(3, size=rows)


def skewed(rng: np.random.Generator, rows: int) -> tuple[Rows, Rows]:
    x = rng.normal(size=(rows, 3))
    return x, x.sum(axis=1) + rng.exponential(size=rows)


TABLES, ROWS, NEW = 60, 239, 500


@pytest.mark.parametrize("draw", [diabetes_like, heteroscedastic, heavy_tails, skewed])
def test_the_interval_holds_new_values(
    draw: Callable[[np.random.Generator, int], tuple[Rows, Rows]], fitted: Fitted
) -> None:
    """95 % of new targets over 60 tables of 239 rows, and where the noise is skewed, as many on either side."""
    below, above = np.zeros(TABLES), np.zeros(TABLES)
    for table in range(TABLES):
        rng = np.random.default_rng([table, 1])
        members, weights = fitted(*draw(rng, ROWS), 20)
        assert len(out_of_fold(members).rows) >= ROWS - 5  # a row is in no validation set with probability 0.3 %
        low, high = offsets(residuals_of(members))
        x, y = draw(rng, NEW)
        mean = np.mean([np.column_stack([x, np.ones(NEW)]) @ w for w in weights], axis=0)
        below[table], above[table] = (y < mean + low).mean(), (y > mean + high).mean()
    # A side's miss in one table is Beta(6, 234) by the ranks, and binomial in the new rows on top. Four standard errors
    # of the mean over tables; below, half a percent for the members of a row's answer, which are fewer than all.
    side = math.sqrt(6 * 234 / (240**2 * 241) + 0.025 * 0.975 / NEW) / math.sqrt(TABLES)
    assert 4 * side < 0.0065
    for missed in (below.mean(), above.mean()):
        assert 0.025 - 4 * side - 0.005 < missed < 0.025 + 4 * side, draw.__name__
    assert 1 - below.mean() - above.mean() > 0.95 - 4 * math.sqrt(2) * side
