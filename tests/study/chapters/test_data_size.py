"""What is said of data sizes, from errors that are made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from thinned.study.answer.speech import Speech
from thinned.study.chapters.chapter import Answer
from thinned.study.chapters.data_size import CHAPTER, SHARES, arm
from thinned.study.chapters.scene import Results, Scene
from thinned.study.chapters.trial import Trial

SEEDS = (0, 1, 2, 3, 4)
SCATTER = np.array([-0.004, 0.002, 0.0, 0.003, -0.001])


def told(changes: tuple[float, float, float, float]) -> Answer:
    """The chapter where dropout changes the error so much on 10, 25, 50 and 100 % of 100 rows."""
    figures = {}
    for share, change in zip(SHARES, changes, strict=False):
        for p, shift in ((0.0, 0.0), (0.5, change)):
            errors = 0.2 + shift + (SCATTER if p else 0.0 * SCATTER)
            trial = Trial("data-size", arm(p, share), 0.01, SEEDS)
            figures[trial] = {"error": errors.tolist(), "rows": [100 * share] * len(SEEDS)}
    scene = SimpleNamespace(
        seeds=SEEDS,
        best_p=0.5,
        plain="plain",
        noisy="noisy",
        errors=lambda runs, seeds: 0.2 + (changes[-1] + SCATTER if runs == "noisy" else 0 * SCATTER),
        speech=Speech(True, "test error", "y", "error"),
        error_title="test error",
        folds={0: SimpleNamespace(x_train=np.zeros((100, 1)))},
    )
    found = CHAPTER.tell(cast(Scene, scene), Results(figures))
    assert found is not None
    return found


def test_where_half_dropped_helps_it_is_said_with_the_sizes() -> None:
    words = told((0.0, -0.03, -0.05, -0.04)).words
    assert words[0] == "Dropout helps on 25, 50, 100 training rows, and no difference was seen on the others."
    assert words[1].startswith("With dropout (p = 0.5) on 10 training rows no difference from none was seen")
    assert words[2].startswith("Dropout (p = 0.5) on 25 training rows lowers the test error against none: -3.0 points")


def test_a_set_too_small_for_dropout_is_said_to_be() -> None:
    words = told((0.05, 0.0, 0.0, -0.05)).words
    assert words[0] == (
        "Dropout helps on 100 training rows, and dropout hurts on 10 training rows, and no difference was seen on the "
        "others."
    )
    assert told((0.0, 0.0, 0.0, 0.0)).words[0] == "No difference was seen at any number of training rows."
