"""The interval against simulations where the truth is known."""

import numpy as np
import pytest

from thinned.study.interval import interval, rms_influence


@pytest.mark.parametrize(
    ("seed_sd", "row_sd", "rest_sd"),
    [(1.0, 0.0, 1.0), (0.0, 5.0, 1.0), (0.3, 3.0, 1.0), (0.0, 0.0, 1.0)],
    ids=["seeds matter", "rows matter", "both", "neither"],
)
def test_covers_the_true_mean_at_least_as_often_as_it_says(seed_sd: float, row_sd: float, rest_sd: float) -> None:
    rng, seeds, rows, repeats, truth = np.random.default_rng(0), 5, 100, 2000, 0.7
    held = 0
    for _ in range(repeats):
        values = truth + seed_sd * rng.normal(size=(seeds, 1)) + row_sd * rng.normal(size=(1, rows))
        found = interval(values + rest_sd * rng.normal(size=(seeds, rows)))
        held += found.low <= truth <= found.high
    # three standard errors of a share of 0.95 over 2,000 repeats are 0.0146
    assert held / repeats > 0.95 - 0.0146


def test_without_a_row_effect_it_is_the_t_interval_over_seeds() -> None:
    values = np.repeat(np.array([[1.0], [2.0], [4.0]]), 1000, axis=1)
    found = interval(values)
    half = 4.302652729911275 * np.std([1, 2, 4], ddof=1) / np.sqrt(3)  # Student's t, 2 degrees of freedom
    assert (found.low, found.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))


def test_with_one_noise_for_all_seeds_it_is_the_interval_over_rows() -> None:
    row = np.random.default_rng(0).normal(size=10_000)
    found = interval(np.stack([row, row, row]))
    half = 1.9602012636213575 * row.std(ddof=1) / 100  # Student's t, 9,999 degrees of freedom
    assert (found.low, found.high) == pytest.approx((row.mean() - half, row.mean() + half))


def test_identical_values_have_an_interval_without_width() -> None:
    found = interval(np.full((3, 10), 0.25))
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two seeds"):
        interval(np.zeros((1, 10)))


def test_rms_influence_has_the_root_mean_square_as_its_mean_and_the_right_spread() -> None:
    rng = np.random.default_rng(0)
    squares = rng.normal(size=(4, 200)) ** 2
    assert rms_influence(squares).mean(axis=1) == pytest.approx(np.sqrt(squares.mean(axis=1)))
    # the spread of an RMSE over fresh samples, against the delta method's from one large sample
    fresh = np.sqrt((rng.normal(size=(4000, 200)) ** 2).mean(axis=1)).std()
    large = rms_influence(rng.normal(size=(1, 100_000)) ** 2).std() / np.sqrt(200)
    assert large == pytest.approx(fresh, rel=0.04)


def test_an_rms_of_zero_is_an_error_of_zero() -> None:
    assert (rms_influence(np.zeros((2, 5))) == 0).all()
