"""The temperature against a known one, and where the likelihood has no end."""

import numpy as np
import pytest
from numpy.typing import NDArray

from thinned.study.answer.metric import METRICS
from thinned.study.answer.temperature import apply, fit, sigma


def drawn(temperature: float, rows: int = 4000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose classes are drawn at another temperature."""
    rng = np.random.default_rng(0)
    true = 1.5 * rng.normal(size=(rows, 4))
    return (true * temperature).astype(np.float32), (true + rng.gumbel(size=true.shape)).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0, 50.0])
def test_a_known_temperature_comes_back(temperature: float) -> None:
    # its standard error is 1 / sqrt(rows * variance of the logits' derivative), 2 % here; four of them
    assert fit(*drawn(temperature)) == pytest.approx(temperature, rel=0.08)


@pytest.mark.parametrize("temperature", [0.3, 4.0])
def test_likelihood_gets_no_worse_and_predictions_stay(temperature: float) -> None:
    output, y = drawn(temperature, 50)
    after = apply(output, fit(output, y))
    assert METRICS["nll"].rows(after, y).mean() <= METRICS["nll"].rows(output, y).mean()
    assert (after.argmax(axis=1) == output.argmax(axis=1)).all()
    assert after.dtype == np.float32


def test_where_every_row_is_right_it_gets_no_surer() -> None:
    y = np.array([0, 1, 2, 1])
    assert fit(2.0 * np.eye(3)[y], y) == 1.0


def test_it_minimises_the_likelihood_that_the_metric_has() -> None:
    output, y = drawn(3.0, 200)
    output[0, (y[0] + 1) % 4] = -np.inf  # a log probability of 0
    output[1] = [np.nan, 0.0, 0.0, 0.0]
    found = fit(output, y)
    mean = [METRICS["nll"].rows(apply(output, found * factor), y).mean() for factor in (0.99, 1.0, 1.01)]
    assert min(mean) == mean[1]


def test_an_answer_that_is_no_number_leaves_a_temperature() -> None:
    output, y = drawn(1.0, 50)
    output[3] = np.nan
    assert np.isfinite(fit(output, y))


def test_sigma_is_the_rmse_of_standardised_values() -> None:
    assert sigma(np.array([[1.0], [2.0]]), np.array([1.0, 0.0])) == pytest.approx(2**0.5)
