"""Which noise an RMSE can bear."""

import numpy as np
import pytest

from thinned.study.answer.heavy import heavy, share_of_largest
from thinned.study.answer.metric import METRICS


def flagged(errors: np.ndarray) -> int:
    return sum(heavy([np.stack([METRICS["rmse"].rows(row[:, None], np.zeros(len(row)))] * 2)]) for row in errors)


def test_normal_noise_passes_and_t3_is_told() -> None:
    rng = np.random.default_rng(0)
    assert flagged(rng.normal(size=(400, 250))) == 0
    # 91 % of samples; four standard errors of that share over 400 are 6 %
    assert flagged(rng.standard_t(3, size=(400, 250))) / 400 > 0.85


def test_the_share_is_that_of_squared_errors_averaged_over_seeds() -> None:
    errors = np.array([[3.0, *[1.0] * 19], [1.0, *[1.0] * 19]])
    values = np.stack([METRICS["rmse"].rows(row[:, None], np.zeros(20), 2.0) for row in errors])
    assert share_of_largest([values]) == pytest.approx(5 / 24)


def test_no_error_is_not_heavy() -> None:
    assert share_of_largest([np.zeros((2, 10))]) == 0.0
