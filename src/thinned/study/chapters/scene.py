"""What a chapter starts from: the main study's runs, and what it chose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..answer.speech import SHARES, Speech
from ..data.prepare import Preparation
from ..record import Task
from ..trial.config import Config, Recipe
from ..trial.fold import Fold
from ..trial.measure import measured_rows
from ..trial.outcome import Figures as RunFigures
from ..trial.outcome import Outcome
from .patches import PATCHES, patches
from .trial import Figures, Trial

FEW_SEEDS, IMAGE_SEEDS = 5, 3  # whose networks a chapter trains; of pictures, one that trains many
SHOWN_P = 0.3


@dataclass(frozen=True)
class Scene:
    """The main study, as chapters see it.

    `plain` and `noisy` are its runs without dropout and at the rate that stands for dropout, by seed, each at the
    learning rate that validation chose. `chosen_p` is the rate of the network to take away, which can be 0.
    `preparations` say what its inputs are. `finished` are all runs.
    """

    task: Task
    error_title: str
    target: str
    best_p: float
    chosen_p: float
    plain: Mapping[int, Outcome]
    noisy: Mapping[int, Outcome]
    finished: Mapping[Config, Outcome]
    folds: Mapping[int, Fold]
    recipe: Recipe
    preparations: Mapping[int, Preparation]
    pixels: bool
    image: tuple[int, int, int] | None  # height, width and channels of pictures

    @property
    def every_seed(self) -> tuple[int, ...]:
        """The seeds that both arms have."""
        return tuple(sorted(set(self.plain) & set(self.noisy)))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those whose networks a chapter trains."""
        return self.every_seed[:FEW_SEEDS]

    @property
    def shown_p(self) -> float:
        """The rate of questions that need one worth looking at: the study's own, or 0.3 where it chose none."""
        return self.chosen_p or SHOWN_P

    @property
    def few(self) -> tuple[int, ...]:
        """Fewer of pictures, whose networks are large."""
        return self.seeds[:IMAGE_SEEDS] if self.pixels else self.seeds

    @property
    def speech(self) -> Speech:
        """How errors are said."""
        metric = "error" if self.task == "classification" else "rmse"
        return Speech(metric in SHARES, self.error_title, self.target, metric)

    def test(self, outcome: Outcome) -> RunFigures:
        """A run's figures on its test rows."""
        return measured_rows(outcome.val_output, outcome.test_output, self.folds[outcome.config.seed])

    def groups(self, seed: int) -> list[int]:
        """For each input of a seed's network, the number of the feature that it is of: of a column, or of a patch."""
        prepared = self.preparations[seed]
        if self.pixels:
            return patches(prepared.inputs)
        names = self._features(seed)
        return [names.index(name) for name in prepared.input_columns()]

    def feature(self, seed: int, group: int) -> str:
        """What a feature is called."""
        if not self.pixels:
            return self._features(seed)[group]
        down, right = divmod(group, PATCHES)
        return f"the patch in row {down + 1}, column {right + 1} of {PATCHES} by {PATCHES}"

    def _features(self, seed: int) -> list[str]:
        return list(dict.fromkeys(self.preparations[seed].input_columns()))

    def errors(self, runs: Mapping[int, Outcome], seeds: Sequence[int]) -> NDArray[np.float64]:
        """Test errors of some seeds' runs."""
        return np.array([self.test(runs[seed]).error for seed in seeds])

    def trials(
        self, chapter: str, arm: str, seeds: Sequence[int], settings: Mapping[str, float], noisy: bool = True
    ) -> list[Trial]:
        """An arm's trials: one for the seeds of each learning rate that the main study chose, with dropout or without.

        Learning rates are those of the main study's arm, since an outer split has its own.
        """
        by_rate: defaultdict[float, list[int]] = defaultdict(list)
        for seed in seeds:
            by_rate[(self.noisy if noisy else self.plain)[seed].config.lr].append(seed)
        return [
            Trial(chapter, arm, lr, tuple(own), tuple(sorted(settings.items()))) for lr, own in sorted(by_rate.items())
        ]


@dataclass(frozen=True)
class Results:
    """What is finished of a chapter's trials."""

    figures: Mapping[Trial, Figures]

    def of(self, arm: str, figure: str, seeds: Sequence[int]) -> NDArray[np.float64] | None:
        """A figure of an arm on these seeds; None where one of them has none."""
        found: dict[int, float] = {}
        for trial, figures in self.figures.items():
            if trial.arm == arm and figure in figures:
                found.update(zip(trial.seeds, figures[figure], strict=True))
        if not set(seeds) <= set(found):
            return None
        return np.array([found[seed] for seed in seeds])
