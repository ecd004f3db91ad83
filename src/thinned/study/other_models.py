"""A constant, a linear model and boosted trees on every seed's rows, while processes have no network to train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from .answer.standing import Answered
from .keep.other_answers import OtherAnswers
from .search.chooser import PLAIN
from .trial.baseline import Answers, BaselineName, baselines
from .trial.config import Recipe, Unit
from .trial.engine import Failed, Work
from .trial.fold import Fold
from .trial.pool import Spare
from .trial.word_baselines import word_baselines

LOSSES = 3  # of a process, under the models of one seed, after which they have failed


class OtherModels(Spare):
    """The other models of a study, one piece of work a seed.

    A tree's settings are sought on each outer split's first seed, and taken over by its other seeds.

    Arguments:
        record: where answers are read from, and written to as they come.
        together: whether no seed waits for another: trees that have one setting only have nothing to seek.
    """

    def __init__(self, seeds: int, outer: int, record: OtherAnswers, *, together: bool) -> None:
        self.failed: dict[str, str] = {}
        self._outer, self._together, self._record = outer, together, record
        known = {seed: record.read(seed) for seed in range(seeds)}
        self._found: dict[int, Sequence[Answers]] = {seed: answers for seed, answers in known.items() if answers}
        self._open = [seed for seed in known if seed not in self._found]
        self._losses: Counter[int] = Counter()

    def answers(self) -> dict[BaselineName, dict[int, Answered]]:
        """What is found, by name and seed."""
        found: dict[BaselineName, dict[int, Answered]] = {}
        for seed in sorted(self._found):
            for one in self._found[seed]:
                found.setdefault(one.name, {})[seed] = Answered(one.val_output, one.test_output)
        return found

    def take(self) -> tuple[Work[list[Answers]], Unit] | None:
        for seed in self._open:
            first = seed % self._outer
            if self._together or seed == first or first in self._found or self._has_failed(first):
                self._open.remove(seed)
                return partial(_fit, like=self._trees(first)), Unit(PLAIN, (), (seed,))
        return None

    def give(self, unit: Unit, done: list[Answers] | Failed | None) -> None:
        [seed] = unit.seeds
        if done is None:
            self._losses[seed] += 1
            if self._losses[seed] < LOSSES:
                self._open.insert(0, seed)
                return
            done = Failed(unit, f"its process was ended from outside, {LOSSES} times: killed, or out of memory")
        if isinstance(done, Failed):
            self.failed[_name(seed)] = done.reason
        else:
            self._found[seed] = done
            self._record.write(seed, done)

    def _has_failed(self, seed: int) -> bool:
        return _name(seed) in self.failed

    def _trees(self, seed: int) -> Answers | None:
        return next((one for one in self._found.get(seed, ()) if one.name == "tree"), None)


def _name(seed: int) -> str:
    return f"other models on seed {seed}"


def _fit(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe, like: Answers | None) -> list[Answers]:
    [seed] = unit.seeds
    fold = folds[seed]
    return word_baselines(fold) if fold.stretch else baselines(fold, like)
