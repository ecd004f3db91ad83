"""The other models of a study: each seed's once, an outer split's first before its others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thinned.study.keep.other_answers import OtherAnswers
from thinned.study.other_models import LOSSES, OtherModels
from thinned.study.trial.baseline import Answers
from thinned.study.trial.config import Unit
from thinned.study.trial.engine import Failed

OUTPUT = np.zeros((2, 1), dtype=np.float32)
ANSWERS = [
    Answers(
        "tree", OUTPUT, OUTPUT, {"learning_rate": 0.1, "max_leaf_nodes": 8, "min_samples_leaf": 5, "max_iter": 20}, 0.0
    )
]


@pytest.fixture
def record(tmp_path: Path) -> OtherAnswers:
    return OtherAnswers(tmp_path, {"study": "1"})


def taken(models: OtherModels) -> Unit:
    piece = models.take()
    assert piece is not None
    return piece[1]


def test_a_seed_waits_for_the_first_of_its_outer_split(record: OtherAnswers) -> None:
    models = OtherModels(5, 2, record, together=False)
    zero, one = taken(models), taken(models)
    assert (zero.seeds, one.seeds) == ((0,), (1,))
    assert models.take() is None
    models.give(one, ANSWERS)
    three = taken(models)
    assert three.seeds == (3,)
    assert models.take() is None
    models.give(zero, Failed(zero, "OSError: full"))
    assert [taken(models).seeds, taken(models).seeds] == [(2,), (4,)]
    assert models.take() is None
    models.give(three, ANSWERS)
    assert {name: list(found) for name, found in models.answers().items()} == {"tree": [1, 3]}
    assert models.failed == {"other models on seed 0": "OSError: full"}
    again = OtherModels(5, 2, record, together=False)  # what is on record is not taken again
    assert [taken(again).seeds, again.take()] == [(0,), None]


def test_seeds_that_seek_nothing_do_not_wait(record: OtherAnswers) -> None:
    models = OtherModels(3, 2, record, together=True)
    assert [taken(models).seeds for _ in range(3)] == [(0,), (1,), (2,)]


@pytest.mark.parametrize("losses", [1, LOSSES])
def test_a_lost_process_is_tried_again_and_fails_in_the_end(losses: int, record: OtherAnswers) -> None:
    models = OtherModels(1, 1, record, together=False)
    for _ in range(losses):
        models.give(taken(models), None)
    if losses < LOSSES:
        assert taken(models).seeds == (0,)
        assert not models.failed
    else:
        assert models.take() is None
        assert "ended from outside, 3 times" in models.failed["other models on seed 0"]
