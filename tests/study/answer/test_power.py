"""What a study could have seen: against simulated studies, and against its own words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_chance import fuzzed

from thinned.study.answer.interval import Interval, interval
from thinned.study.answer.power import rows_needed, seeds_needed, smallest_effect, with_more


def study(rng: np.random.Generator, effect: float = 0.0, seeds: int = 10, rows: int = 100) -> Interval:
    noise = 0.3 * rng.normal(size=(seeds, 1)) + rng.normal(size=(1, rows)) + rng.normal(size=(seeds, rows))
    return interval([effect + noise])


def test_four_of_five_studies_see_the_smallest_effect() -> None:
    rng, repeats = np.random.default_rng(0), 1500
    effect = float(np.mean([smallest_effect(study(rng)) for _ in range(200)]))
    seen = sum(study(rng, effect).low > 0 for _ in range(repeats))
    # four standard errors of a share of 0.8 over 1,500 studies are 0.041
    assert abs(seen / repeats - 0.8) < 0.041


intervals = st.tuples(
    st.floats(0, 10), st.floats(0, 10), st.floats(1e-6, 10), st.integers(2, 50), st.integers(2, 5000)
).map(lambda drawn: Interval(0.5, 0.0, 1.0, sum(drawn[:3]) ** 0.5, 10.0, *drawn))


@fuzzed(25)
@given(intervals, st.floats(1e-3, 10))
def test_the_number_needed_is_enough_and_one_less_is_not(found: Interval, effect: float) -> None:
    for needed, word in ((seeds_needed(found, effect), "seeds"), (rows_needed(found, effect), "rows")):
        now = getattr(found, word)
        if needed is None:
            assert smallest_effect(with_more(found, **{word: 1000 * now})) > effect
            continue
        assert needed >= now
        assert smallest_effect(with_more(found, **{word: needed})) <= effect
        assert needed == now or smallest_effect(with_more(found, **{word: needed - 1})) > effect


def test_more_seeds_alone_do_not_do_where_rows_decide() -> None:
    found = Interval(0.0, -0.2, 0.2, 0.1, 100.0, 0.0001, 0.0099, 0.0, 10, 100)
    assert seeds_needed(found, 0.2) is None
    needed = rows_needed(found, 0.2)
    assert needed is not None
    assert 190 < needed < 205  # se must halve in its rows' part, (2.8 / 2)^2 times the rows and a little for the seeds


def test_the_same_study_again_is_no_other() -> None:
    found = study(np.random.default_rng(1))
    again = with_more(found)
    assert (again.se, again.df) == pytest.approx((found.se, found.df))


def test_an_effect_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`effect` must be above 0. Got 0"):
        seeds_needed(study(np.random.default_rng(2)), 0)
