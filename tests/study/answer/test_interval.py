"""The interval against simulations where the truth is known, and where values say little or nothing."""

import numpy as np
import pytest
from benchmarks.coverage import Case, held_of_pool, studies
from scipy.stats import binom, t

from thinned.study.answer.interval import Bounds, Interval, interval

SHARE, REPEATS = Bounds(0.0, 1.0), 500


def at_least(share: float, repeats: int) -> int:
    """What a count falls below once in 10,000 times if the share is right."""
    return int(binom.ppf(1e-4, repeats, share))


def at_most(share: float, repeats: int) -> int:
    return int(binom.ppf(1 - 1e-4, repeats, share))


def held(repeats: int, blocks: int, seeds: int, rows: int, seed_sd: float, row_sd: float) -> int:
    """How many intervals hold the mean of a two-way layout with rest of deviation 1."""
    rng, count = np.random.default_rng(0), 0
    for _ in range(repeats):
        values = [
            seed_sd * rng.normal(size=(seeds, 1)) + row_sd * rng.normal(size=(1, rows)) + rng.normal(size=(seeds, rows))
            for _ in range(blocks)
        ]
        found = interval(values)
        count += found.low <= 0 <= found.high
    return count


@pytest.mark.parametrize(("seeds", "rows"), [(5, 250), (20, 45), (20, 250)], ids=str)
@pytest.mark.parametrize(
    ("seed_sd", "row_sd"), [(1.0, 0.0), (0.05, 2.0), (0.3, 3.0), (0.1, 1.0)], ids=["seeds", "rows", "both", "even"]
)
def test_holds_the_mean_of_seeds_and_rows_as_often_as_it_says(
    seeds: int, rows: int, seed_sd: float, row_sd: float
) -> None:
    count = held(REPEATS, 1, seeds, rows, seed_sd, row_sd)
    assert at_least(0.94, REPEATS) <= count <= at_most(0.97, REPEATS)


def test_folds_are_a_little_wider_for_the_rows_that_they_share() -> None:
    count = held(REPEATS, 4, 5, 45, 0.1, 2.0)  # these blocks share nothing, so it holds more: sqrt(4 / 3) times as wide
    assert at_least(0.97, REPEATS) <= count <= at_most(0.985, REPEATS)


@pytest.mark.long
@pytest.mark.parametrize("case", [Case("classes", 178, 1, 5), Case("gauss", 178, 1, 5)], ids=["classes", "numbers"])
def test_holds_what_networks_of_this_pool_do_on_new_rows(case: Case) -> None:
    for name, found in studies(case, 40).items():
        assert held_of_pool(found) >= at_least(0.94, 40), name


@pytest.mark.parametrize("rate", [0.005, 0.02, 0.1, 0.5])
def test_holds_an_error_rate_however_small(rate: float) -> None:
    rng, count = np.random.default_rng(0), 0
    for _ in range(REPEATS):
        found = interval([np.tile((rng.random(178) < rate) * 1.0, (2, 1))], SHARE)
        count += found.low <= rate <= found.high
    assert count >= at_least(0.94, REPEATS)


@pytest.mark.parametrize(("worse", "better"), [(0.005, 0.0), (0.02, 0.0), (0.02, 0.02), (0.1, 0.05)])
def test_holds_a_difference_of_error_rates_however_few_rows_differ(worse: float, better: float) -> None:
    rng, count = np.random.default_rng(0), 0
    for _ in range(REPEATS):
        drawn = rng.random(178)
        values = (drawn < worse) * 1.0 - (drawn > 1 - better)
        found = interval([np.tile(values, (2, 1))], Bounds(-1.0, 1.0))
        count += found.low <= worse - better <= found.high
    assert count >= at_least(0.94, REPEATS)


def test_without_a_row_effect_it_is_the_t_interval_over_seeds() -> None:
    values = np.repeat(np.array([[1.0], [2.0], [4.0]]), 1000, axis=1)
    found = interval([values])
    half = t.ppf(0.975, 2) * np.std([1, 2, 4], ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert (found.df, found.rows_part, found.rest_part) == pytest.approx((2, 0, 0))


def test_with_one_noise_for_all_seeds_it_is_the_interval_over_rows() -> None:
    row = np.random.default_rng(0).normal(size=10_000)
    found = interval([np.stack([row, row, row])])
    half = t.ppf(0.975, 9_999) * row.std(ddof=1) / 100
    assert (found.low, found.high) == pytest.approx((row.mean() - half, row.mean() + half))
    assert found.seeds_part == 0


def test_parts_add_up_and_come_back_from_known_ones() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        values = 0.5 * rng.normal(size=(10, 1)) + 2 * rng.normal(size=(1, 50)) + 3 * rng.normal(size=(10, 50))
        found.append(interval([values]))
    for one in found:
        assert one.seeds_part + one.rows_part + one.rest_part == pytest.approx(one.se**2)
    parts = np.array([(one.seeds_part, one.rows_part, one.rest_part) for one in found])
    error = 4 * parts.std(axis=0) / 20
    assert (np.abs(parts.mean(axis=0) - [0.25 / 10, 4 / 50, 9 / 500]) < error).all()


def test_every_row_counts_once_whatever_the_folds_are() -> None:
    blocks = [np.full((2, 3), 1.0), np.full((5, 2), 2.0)]
    assert interval(blocks).value == pytest.approx((3 * 1 + 2 * 2) / 5)
    assert (interval(blocks).seeds, interval(blocks).rows) == (7, 5)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("bounds", [None, SHARE, Bounds(-1.0, 1.0), Bounds(0.0, np.inf)], ids=str)
def test_no_interval_is_without_width(value: float, bounds: Bounds | None) -> None:
    found = interval([np.full((3, 10), value)] * 2, bounds)
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert found.se > 0


def test_seeds_and_rows_that_agree_only_on_the_whole_leave_a_width() -> None:
    found = interval([np.array([[0.0, 1.0], [1.0, 0.0]])])
    assert found.low < 0.5 < found.high
    blocks = interval([np.full((2, 3), 1.0), np.full((2, 3), 2.0)])
    assert blocks.low < 1.5 < blocks.high


def test_no_error_in_n_rows_is_below_the_exact_bound() -> None:
    found = interval([np.zeros((3, 100))], SHARE)
    assert (found.low, found.high) == pytest.approx((0.0, 1 - 0.05**0.01))
    same = interval([np.zeros((3, 100))], Bounds(-1.0, 1.0))
    assert (same.low, same.high) == pytest.approx((-found.high, found.high))


def test_an_interval_stays_within_what_is_possible_and_holds_its_value() -> None:
    rng = np.random.default_rng(0)
    for rate in (0.01, 0.5, 0.99):
        for _ in range(50):
            found = interval([(rng.random((4, 30)) < rate).astype(np.float64)], SHARE)
            assert 0 <= found.low <= found.value <= found.high <= 1
    positive = interval([np.array([[0.1, 5.0, 0.1], [0.1, 4.0, 0.1]])], Bounds(0.0, np.inf))
    assert 0 < positive.low < positive.value < positive.high


def test_less_error_is_the_mirror_of_more() -> None:
    found = interval([np.random.default_rng(0).normal(size=(3, 10))])
    assert found.minus() == Interval(
        -found.value,
        -found.high,
        -found.low,
        found.se,
        found.df,
        found.seeds_part,
        found.rows_part,
        found.rest_part,
        3,
        10,
    )


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "at least one array. Got none"),
        ([np.zeros((1, 10))], r"two seeds and two rows. Got shape \(1, 10\). Train with one more seed"),
        ([np.full((2, 2), np.nan)], "must be finite. Got nan or infinity"),
    ],
)
def test_what_it_cannot_answer_is_refused(blocks: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interval(blocks)
