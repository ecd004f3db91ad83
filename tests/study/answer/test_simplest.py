"""The choice among levels from validation figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_chance import fuzzed

from thinned.study.answer.simplest import Tried, not_worse, simplest, simplicity
from thinned.study.trial.config import Level

PLAIN, DECAY, LIGHT = Level("dropout", 0.0), Level("decay", weight_decay=0.1), Level("dropout", 0.1)
STRONG, BOTH, INPUT = Level("dropout", 0.5), Level("both", 0.1, 0.1), Level("input", 0.1, p_input=0.2)
ORDER = [PLAIN, DECAY, LIGHT, STRONG, BOTH, INPUT]

NOISE = np.array([0.02, -0.02, 0.01, -0.01, 0.0])


def tried(level: Level, loss: float, noise: float = 1.0, nll: float = 1.0) -> Tried:
    return Tried(level, tuple(loss + noise * NOISE), nll)


def test_a_tie_goes_to_the_simplest_whatever_the_order() -> None:
    levels = [tried(level, 1.0 - 0.001 * i, noise=(-1) ** i) for i, level in enumerate(ORDER)]
    for start in range(len(ORDER)):
        found = simplest(levels[start:][::-1], 20, 55)
        assert found == ORDER[start] or found == ORDER[start + 1]  # the same parity as the last one has no scatter
    assert [one.level for one in sorted(levels, key=simplicity)] == ORDER


def test_a_clear_gain_is_taken() -> None:
    assert simplest([tried(PLAIN, 1.0), tried(STRONG, 0.9, noise=-1.0)], 20, 55) == STRONG


def test_the_reach_is_one_corrected_standard_error() -> None:
    best = tried(STRONG, 0.0, noise=0.0)
    reach = ((1 / 5 + 20 / 55) * NOISE.var(ddof=1)) ** 0.5
    assert not_worse(tried(PLAIN, 0.999 * reach), best, 20, 55)
    assert not not_worse(tried(PLAIN, 1.001 * reach), best, 20, 55)


def test_among_two_decays_the_better_calibrated_one() -> None:
    strong = Level("decay", weight_decay=1.0)
    assert simplest([tried(DECAY, 1.0, nll=0.3), tried(strong, 1.0, nll=0.2)], 20, 55) == strong


def test_what_diverged_is_out() -> None:
    assert simplest([tried(PLAIN, np.nan), tried(STRONG, 1.0)], 20, 55) == STRONG
    with pytest.raises(ValueError, match=r"a level with finite losses. Got none"):
        simplest([tried(PLAIN, np.inf)], 20, 55)


def test_one_seed_takes_the_best() -> None:
    assert simplest([Tried(PLAIN, (1.0,), 1.0), Tried(STRONG, (0.99,), 1.0)], 20, 55) == STRONG


def test_seeds_must_be_the_same() -> None:
    with pytest.raises(ValueError, match=r"the same seeds for every level. Got \[1, 5\] seeds"):
        simplest([Tried(PLAIN, (1.0,), 1.0), tried(STRONG, 1.0)], 20, 55)


@fuzzed(50)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=6, max_size=6))
def test_nothing_simpler_is_no_worse(losses: list[tuple[float, ...]]) -> None:
    levels = [Tried(level, loss, 1.0) for level, loss in zip(ORDER, losses, strict=True)]
    found = next(one for one in levels if one.level == simplest(levels, 20, 55))
    best = min(levels, key=lambda one: (float(np.mean(one.losses)), simplicity(one)))
    assert not_worse(found, best, 20, 55)
    assert not any(not_worse(one, best, 20, 55) for one in levels if simplicity(one) < simplicity(found))
