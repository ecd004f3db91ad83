"""Which finished runs stand under another limit of steps: those that a training under it would leave as they are."""

from __future__ import annotations

import numpy as np
import pytest

from thinned.fit.cycles import cycles
from thinned.study.trial.config import Config, Level
from thinned.study.trial.outcome import Ended, Figures, Outcome, still_holds

NONE = np.zeros((0, 1), dtype=np.float32)
FIGURES = Figures(0.1, 0.2, 0.3)


def run(steps: int, ended: Ended) -> Outcome:
    config = Config(Level("dropout"), 0.01, 0)
    return Outcome(config, steps, steps, ended, (), FIGURES, FIGURES, NONE, NONE, 1.0)


@pytest.mark.parametrize(
    ("steps", "ended", "limit", "holds"),
    [
        (700, "converged", 12_700, True),  # the end of the third cycle, whatever comes after
        (700, "converged", 1500, True),
        (700, "converged", 700, True),
        (700, "converged", 600, False),  # it would be cut short
        (700, "raced", 1500, True),
        (700, "raced", 650, False),
        (700, "steps", 700, True),
        (700, "steps", 1500, False),  # it would go on
        (700, "steps", 699, False),
        (1000, "steps", 1000, True),  # in the middle of a cycle
        (1000, "steps", 1500, False),
        (1000, "converged", 1500, False),  # no run ends so, where the cycle is whole
        (100, "diverged", 12_700, True),
    ],
)
def test_what_still_holds(steps: int, ended: Ended, limit: int, holds: bool) -> None:
    assert still_holds(run(steps, ended), limit) == holds


@pytest.mark.parametrize("limit", [1, 99, 100, 250, 700, 1000, 12_700])
def test_what_ended_in_a_whole_cycle_holds_under_every_larger_limit(limit: int) -> None:
    for cycle in cycles(limit):
        if cycle.whole:
            assert all(still_holds(run(cycle.end, "converged"), larger) for larger in range(limit, limit + 500, 37))
