"""The ridge of p x learning rate, from losses that are made up."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from thinned.study.answer.speech import Speech
from thinned.study.chapters.how_much import CHAPTER, best_rate
from thinned.study.chapters.scene import Results, Scene
from thinned.study.trial.config import Config, Level

LRS, PS = (0.001, 0.003, 0.01, 0.03, 0.1), (0.0, 0.25, 0.5)


def scene(move: float, scatter: float = 0.05, change: float = 0.0) -> Scene:
    """Losses with their least at 0.005, a factor of `e^move` higher for each 1 of p; seeds scatter a little."""
    finished = {}
    for p in PS:
        for seed in range(5):
            least = math.log(0.005) + move * p + scatter * (seed - 2) * (p + 0.1)
            for lr in LRS:
                outcome = SimpleNamespace(val=SimpleNamespace(loss=1 + (math.log(lr) - least) ** 2))
                finished[Config(Level("dropout", p), lr, seed)] = outcome
    made = SimpleNamespace(
        finished=finished,
        every_seed=range(5),
        plain="plain",
        noisy="noisy",
        best_p=0.5,
        speech=Speech(True, "test error", "y", "error"),
        errors=lambda runs, seeds: 0.2 + (change + 0.001 * np.arange(-2, 3) if runs == "noisy" else np.zeros(5)),
    )
    return cast(Scene, made)


def told(move: float, scatter: float = 0.05, change: float = 0.0) -> Any:
    found = CHAPTER.tell(scene(move, scatter, change), Results({}))
    assert found is not None
    return found


def test_the_best_rate_lies_between_those_tried() -> None:
    losses = {lr: (math.log(lr) - math.log(0.02)) ** 2 for lr in LRS}
    assert best_rate(losses) == pytest.approx(0.02)
    assert best_rate({0.1: 1.0, 0.01: 2.0}) == 0.1
    assert best_rate({0.001: math.inf, 0.01: 0.0, 0.1: 1.0}) == 0.01


def test_a_rate_that_moves_is_said_to_with_the_factor() -> None:
    assert told(2.0).words[1].startswith("The best learning rate rises with p")
    assert "by a factor of 2.7" in told(2.0).words[1]
    assert told(-2.0).words[1].startswith("The best learning rate falls with p")
    assert told(2.0).figure.map.ridge == pytest.approx([0.005 * math.exp(2 * p) for p in PS], rel=0.05)


def test_a_rate_that_stays_is_said_to_be_seen_not_to_move() -> None:
    assert told(0.0).words[1].startswith("No move of the best learning rate with p was seen")
    assert told(1.0, scatter=2.0).words[1].startswith("No move of the best learning rate with p was seen")


def test_equal_rates_of_all_seeds_do_not_move() -> None:
    assert told(0.0, scatter=0.0).words[1].startswith("No move of the best learning rate with p was seen")


def test_how_much_says_what_dropout_does_to_the_test_error() -> None:
    best = "of the rates above 0 the best by validation,"
    helps, costs, neither = (told(0.0, change=change).words[0] for change in (-0.02, 0.02, 0.0))
    assert helps.startswith(f"Dropout of p = 0.5, {best} lowers the test error against p = 0: -2.0 points")
    assert costs.startswith(f"Dropout of p = 0.5, {best} raises the test error against p = 0: +2.0 points")
    assert neither.startswith(f"With dropout of p = 0.5, {best} no difference from p = 0 was seen: +0.0 points")


def test_one_learning_rate_gives_no_chapter() -> None:
    found = scene(1.0)
    one = {config: outcome for config, outcome in found.finished.items() if config.lr == 0.01}
    assert CHAPTER.tell(cast(Scene, SimpleNamespace(finished=one)), Results({})) is None
