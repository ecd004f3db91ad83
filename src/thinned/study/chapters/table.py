"""The one table of chapters."""

from __future__ import annotations

from collections.abc import Mapping

from ..trial.config import Recipe
from ..trial.fold import Fold
from . import convergence, data_size, ensemble, forms, how_much, normalisation, reliance, schedules, where
from .chapter import Chapter
from .trial import Figures, Trial

CHAPTERS: tuple[Chapter, ...] = (
    how_much.CHAPTER,
    where.CHAPTER,
    convergence.CHAPTER,
    data_size.CHAPTER,
    reliance.CHAPTER,
    ensemble.CHAPTER,
    normalisation.CHAPTER,
    forms.CHAPTER,
    schedules.CHAPTER,
)


def chapter(name: str) -> Chapter:
    """A chapter by its name."""
    return next(one for one in CHAPTERS if one.name == name)


def run_trial(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures: work for the pool. Equal arguments give equal numbers, with one torch thread."""
    run = chapter(trial.chapter).run
    assert run is not None
    return run(trial, folds, recipe)
