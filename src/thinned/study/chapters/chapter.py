"""A chapter as a row of a table: its question, what it trains, and how it tells what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..record import ChapterFigure, ChapterRecord
from ..trial.config import Recipe
from ..trial.fold import Fold
from .scene import Results, Scene
from .trial import Figures, Trial


@dataclass(frozen=True)
class Answer:
    """What a chapter tells: the arms, a sentence each, and the figures, the one that answers first."""

    arms: list[str]
    words: list[str]
    figure: ChapterFigure | None
    seeds: int
    more: list[ChapterFigure] = field(default_factory=list)


@dataclass(frozen=True)
class Chapter:
    """A question to the data.

    Arguments:
        name: what `--chapters` calls it.
        question: in a sentence.
        measured: what is measured, in a sentence.
        tell: the answer from the main study and the chapter's finished trials; None where these are too few.
        trials: what is to be trained.
        run: a trial's figures.
        any_network: whether it asks any network, or perceptrons alone.
    """

    name: str
    question: str
    measured: str
    tell: Callable[[Scene, Results], Answer | None]
    trials: Callable[[Scene], list[Trial]] = lambda scene: []
    run: Callable[[Trial, Mapping[int, Fold], Recipe], Figures] | None = None
    any_network: bool = False

    def record(self, scene: Scene, results: Results) -> ChapterRecord | None:
        """The chapter as a study keeps it; None where too little is finished."""
        found = self.tell(scene, results)
        if found is None:
            return None
        return ChapterRecord(
            name=self.name,
            question=self.question,
            arms=found.arms,
            measured=self.measured,
            seeds=found.seeds,
            words=found.words,
            figure=found.figure,
            more=found.more,
        )
