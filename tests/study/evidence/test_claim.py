"""The rule of verdicts, on intervals and on results that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thinned.study.chapters.scene import Results
from thinned.study.chapters.trial import Trial
from thinned.study.evidence import gal2016, klambauer2017, li2019, srivastava2014, wan2013
from thinned.study.evidence.claim import Claim, Judged, Measurement, difference, judge, verdict
from thinned.study.evidence.table import PAPERS
from thinned.study.record import Estimate

SEEDS = (0, 1, 2, 3, 4)
SCATTER = np.array([-0.002, 0.001, 0.0, 0.003, -0.002])
CLAIMS = [pytest.param(claim, id=f"{paper.name}: {claim.number}") for paper in PAPERS for claim in paper.claims]


def results(arms: dict[str, dict[str, float]]) -> Results:
    """Figures of arms that scatter over seeds, other for each figure."""
    figures = {}
    for place, (arm, own) in enumerate(arms.items()):
        found = {name: (value + (1 + place**2 / 10) * SCATTER).tolist() for name, value in own.items()}
        figures[Trial("evidence", arm, 0.01, SEEDS)] = found
    return Results(figures)


def claim(paper: str, start: str) -> Claim:
    """A paper's claim by the beginning of its number."""
    claims = next(one.claims for one in PAPERS if one.name == paper)
    return next(one for one in claims if one.number.startswith(start))


def inside(one: Claim) -> float:
    low, high = (end if math.isfinite(end) else None for end in (one.low, one.high))
    if low is not None and high is not None:
        return (low + high) / 2
    return low + 1 if low is not None else (high or 0.0) - 1


@pytest.mark.parametrize("one", CLAIMS)
def test_every_claim_has_a_range_in_which_it_agrees_and_out_of_which_it_does_not(one: Claim) -> None:
    assert one.says.endswith(".")
    assert one.paper
    assert one.source
    assert one.low < one.high
    assert math.isfinite(one.low) or math.isfinite(one.high)
    value, narrow = inside(one), 1e-6
    assert verdict(Estimate(value=value, low=value - narrow, high=value + narrow), one.low, one.high) == "agrees"
    for end, side in ((one.low, -1), (one.high, 1)):
        if math.isfinite(end):
            out = end + 0.1 * side
            found = Estimate(value=out, low=out - narrow, high=out + narrow)
            assert verdict(found, one.low, one.high) == "disagrees"
            across = Estimate(value=end, low=end - narrow, high=end + narrow)
            assert verdict(across, one.low, one.high) == "not settled"


def test_an_interval_wider_than_the_range_settles_nothing() -> None:
    assert verdict(Estimate(value=0.0, low=-2.0, high=2.0), -1.0, 1.0) == "not settled"
    assert verdict(Estimate(value=0.0, low=-math.inf, high=math.inf), -1.0, 1.0) == "not settled"


def test_one_seed_settles_nothing_and_says_so() -> None:
    one = Judged(claim("wan2013", "test error with DropConnect minus without"), {}, Estimate(
        value=-0.5, low=-math.inf, high=math.inf
    ))  # fmt: skip
    assert one.verdict == "not settled"
    assert one.ours == "-50.00 points (no interval)"


def test_a_difference_is_said_with_its_parts_and_its_interval() -> None:
    found = judge(
        Claim("", "", "", "", difference("with", "without"), high=0.0, percent=True),
        results({"with": {"error": 0.06}, "without": {"error": 0.10}}),
        SEEDS,
    )
    assert found.verdict == "agrees"
    assert found.ours.startswith("with 6.00 %, without 10.00 %: -4.00 points (95 % interval -4.0")


def test_ranges_in_words() -> None:
    def told(low: float, high: float, percent: bool) -> str:
        return Claim("", "", "", "", lambda results, seeds: Measurement(SCATTER), low, high, percent).range

    assert told(-math.inf, 0.0, True) == "below 0"
    assert told(0.0, math.inf, False) == "above 0"
    assert told(-0.005, 0.01, True) == "between -0.5 points and 1 points"
    assert told(0.8, 1.5, False) == "between 0.8 and 1.5"


@pytest.mark.parametrize(("few", "expected"), [(0.30, "agrees"), (0.20, "disagrees"), (0.25, "not settled")])
def test_the_gain_on_few_rows_is_taken_from_the_gain_on_more(few: float, expected: str) -> None:
    """Without dropout 30 % on few rows; the gain on 1,000 rows is 5 points."""
    found = results(
        {
            srivastava2014.plain(1000): {"error": 0.10},
            srivastava2014.noisy(1000): {"error": 0.05},
            srivastava2014.plain(100): {"error": 0.30},
            srivastava2014.noisy(100): {"error": few},
        }
    )
    assert judge(claim("srivastava2014", "gain on 1,000 rows minus gain on 100"), found, SEEDS).verdict == expected


def test_an_average_is_compared_with_weight_scaling() -> None:
    arm = {"scaled error": 0.05, "samples 1 error": 0.08, "samples 32 error": 0.051}
    found = results({srivastava2014.AVERAGED: arm})
    for start in ("error of 1 ", "error of 32 "):
        assert judge(claim("srivastava2014", start), found, SEEDS).verdict == "agrees"
    worse = results({srivastava2014.AVERAGED: arm | {"samples 32 error": 0.08}})
    assert judge(claim("srivastava2014", "error of 32 "), worse, SEEDS).verdict == "disagrees"


def test_the_nearer_inference_is_told() -> None:
    one = claim("wan2013", "log ratio")
    near, far = {wan2013.GAUSSIAN: 0.1, wan2013.MEAN: 0.2}, {wan2013.GAUSSIAN: 0.2, wan2013.MEAN: 0.1}
    assert judge(one, results({wan2013.DROP_CONNECT: near}), SEEDS).verdict == "agrees"
    assert judge(one, results({wan2013.DROP_CONNECT: far}), SEEDS).verdict == "disagrees"


def test_the_shift_is_held_beside_its_formula() -> None:
    one = claim("li2019", "measured ratio")
    for measured, expected in ((0.4, "agrees"), (0.6, "disagrees")):
        found = results({li2019.BEFORE: {"measured 1": measured, "formula 1": 0.4}})
        assert judge(one, found, SEEDS).verdict == expected


def test_the_variance_that_is_farther_from_one_is_told() -> None:
    one = claim("klambauer2017", "distance of the variance")
    for standard, expected in ((1.5, "agrees"), (0.5, "agrees"), (1.0, "disagrees")):
        found = results({klambauer2017.ALPHA: {"variance": 1.1}, klambauer2017.STANDARD: {"variance": standard}})
        assert judge(one, found, SEEDS).verdict == expected


def test_a_level_is_held_to_the_range_of_the_paper() -> None:
    one = claim("gal2016", "test RMSE; the range")
    for rmse, expected in ((3.0, "agrees"), (5.0, "disagrees")):
        found = judge(one, results({gal2016.DROPOUT: {"sampled error": rmse}}), SEEDS)
        assert found.verdict == expected
        assert found.ours.startswith(f"{rmse:.3f} (95 % interval ")
