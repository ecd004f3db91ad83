"""Every statement about a range of p follows from the numbers."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_chance import fuzzed

from thinned.study.answer.verdict import kind, margin, runs


@dataclass(frozen=True)
class Found:
    value: float
    low: float
    high: float


found = st.tuples(*[st.floats(-1, 1)] * 3).map(lambda drawn: Found(*(sorted(drawn)[i] for i in (1, 0, 2))))
differences = st.dictionaries(st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]), found)
margins = st.sampled_from([0.0, 0.1, 0.5])
checked = fuzzed(50)


@checked
@given(differences, margins)
def test_what_a_run_says_is_true_of_each_of_its_members(given: dict[float, Found], margin: float) -> None:
    for run in runs(given, margin):
        for one in (given[p] for p in run.ps):
            assert run.low <= one.low <= one.high <= run.high
            assert run.least <= one.value <= run.most
            assert max(abs(one.low), abs(one.high)) <= run.either_way
            assert not one.low < -run.at_least or not one.high > run.at_least or run.at_least == 0
            effects = {"better": one.high < 0, "worse": one.low > 0, "unclear": one.low <= 0 <= one.high}
            assert effects.get(run.kind, -margin <= one.low and one.high <= margin)
        if run.kind in ("better", "worse"):
            assert run.at_least == min(min(abs(given[p].low), abs(given[p].high)) for p in run.ps) > 0
        if run.kind == "level":
            assert run.either_way <= margin


@checked
@given(differences, margins)
def test_runs_tell_every_p_once_in_order_and_neighbours_differ(given: dict[float, Found], margin: float) -> None:
    told = runs(given, margin)
    assert [p for run in told for p in run.ps] == sorted(given)
    assert all(a.kind != b.kind for a, b in pairwise(told))


@checked
@given(found, margins)
def test_signs_mirror(one: Found, margin: float) -> None:
    mirror = {"better": "worse", "worse": "better"}
    turned = kind(Found(-one.value, -one.high, -one.low), margin)
    assert turned == mirror.get(kind(one, margin), kind(one, margin))


def test_the_issues_own_example() -> None:
    given = {0.1: Found(0.0, -0.2, 0.2), 0.2: Found(0.1, -0.1, 0.3), 0.3: Found(1, -1, 3), 0.4: Found(4, 3, 4.5)}
    told = runs(given | {0.5: Found(4.5, 3.5, 5)}, margin(6.0))
    assert [(run.ps, run.kind) for run in told] == [((0.1, 0.2), "level"), ((0.3,), "unclear"), ((0.4, 0.5), "worse")]
    assert told[0].either_way == 0.3
    assert (told[2].low, told[2].high, told[2].least, told[2].most) == (3, 5, 4, 4.5)


def test_a_small_sure_effect_is_not_worth_having() -> None:
    assert kind(Found(-0.02, -0.03, -0.01), 0.05) == "level"
    assert kind(Found(-0.02, -0.03, -0.01), 0.0) == "better"


def test_p_zero_is_what_others_are_compared_with() -> None:
    with pytest.raises(ValueError, match="no entry for p = 0"):
        runs({0.0: Found(0, 0, 0)}, 0.1)
    with pytest.raises(ValueError, match="`share` must be 0 or above"):
        margin(1.0, -0.1)
