"""The expected calibration error against torchmetrics, and against confidences that are true."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from thinned.study.answer.calibration import calibration_error, expected_error, within


def drawn(rows: int, sharper: float, key: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(key)
    true = 2.5 * rng.normal(size=(rows, 4))
    return sharper * true, (true + rng.gumbel(size=true.shape)).argmax(axis=1)


def test_it_is_torchmetrics_figure() -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error  # late: seconds in every process

    output, y = drawn(1200, 1.7)
    found = calibration_error([output], y)
    assert found is not None
    p = torch.from_numpy(softmax(output, axis=1).astype(np.float32))
    reference = multiclass_calibration_error(p, torch.from_numpy(y), num_classes=4, n_bins=15, norm="l1")
    # a row whose confidence is within float32's rounding of an edge may lie in the next bin
    assert found.value == pytest.approx(float(reference), abs=1 / 1200)
    assert found.low < found.value < found.high


def test_there_is_none_below_a_thousand_rows() -> None:
    output, y = drawn(999, 1.0)
    assert calibration_error([output], y) is None


def test_honest_probabilities_show_what_honest_ones_do() -> None:
    found = calibration_error([drawn(1000, 1.0)[0]], drawn(1000, 1.0)[1])
    assert found is not None
    assert found.low == 0.0
    assert found.honest / 2 < found.value < 2 * found.honest


def test_overconfidence_is_told_from_chance() -> None:
    found = calibration_error([drawn(1000, 3.0)[0]], drawn(1000, 3.0)[1])
    assert found is not None
    assert found.low > found.honest


def test_seeds_are_averaged_and_a_key_fixes_it_all() -> None:
    (first, y), second = drawn(1000, 2.0), drawn(1000, 2.0, key=1)[0]
    both = calibration_error([first, second], y, key=3)
    each = [calibration_error([output], y) for output in (first, second)]
    assert both is not None
    assert both.value == pytest.approx(np.mean([one.value for one in each if one is not None]))
    assert calibration_error([first, second], y, key=3) == both


def test_a_bin_weighs_by_its_rows() -> None:
    sure, right = np.array([0.95, 0.95, 0.95, 0.5]), np.array([1.0, 1.0, 0.0, 1.0])
    assert expected_error(sure, right) == pytest.approx(3 / 4 * abs(0.95 - 2 / 3) + 1 / 4 * 0.5)


def test_numbers_lie_within_their_interval_as_often_as_they_should() -> None:
    y = np.random.default_rng(0).normal(size=20_000)
    # four standard errors of a share of 0.95 over 20,000 rows
    assert within(np.zeros((20_000, 1)), y, 1.0).mean() == pytest.approx(0.95, abs=0.0062)
