"""Which rates are trained: the multiplier first, then each kind of place in turn, then the best ones on more seeds.

Every training has the whole budget. To stop trainings early would favour p = 0, which learns fastest. What is saved is
seeds: all arms have two, the best have two more (successive halving over seeds).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from ..error import StudyError
from .arms import Arm, as_it_was, as_planned, multiplied, of_kind, zero
from .subject import Tunable
from .trainings import SeedTraining, Trainings

FIRST, MORE = 2, 2  # seeds of every arm, and further ones of the best
FINALISTS = 4
ROUNDS = 2  # over all kinds


class Search:
    """The search for the best rates.

    Arguments:
        ps: what is tried for the largest p of each kind.
        most: the most trainings, p = 0 and the rates as they were included.
        sign: 1 where less is better, -1 where more is.
    """

    def __init__(
        self, trainings: Trainings, tunable: Tunable, ps: Sequence[float], most: int, seed: int, sign: float
    ) -> None:
        self.trainings, self.tunable, self.ps, self.seed = trainings, tunable, ps, seed
        self.zero, self.was = zero(tunable.start), as_it_was(tunable.was)
        self.arms: dict[str, Arm] = {}
        self.whole = True  # False where `most` ended the search
        self._left, self._sign = most, sign

    def best(self) -> Arm:
        """Train what the search asks for. The best arm, p = 0 included.

        Raises StudyError: p = 0 has no figure, or no other arm has.
        """
        for arm in (self.zero, self.was, as_planned(self.tunable.start)):
            self._try(arm)
        if all(self.loss(arm) is None for arm in self.arms.values()):
            raise StudyError(f"`tune`: nothing could be trained. {self._first_reason()}")
        for arm in multiplied(self.tunable.start):
            self._try(arm)
        kinds = list(dict.fromkeys(self.tunable.kinds.values()))
        for _ in range(ROUNDS):
            before = self._leader()
            for kind in kinds:
                centre = self._leader()
                for p in self.ps:
                    self._try(of_kind(centre, self.tunable.start, self.tunable.kinds, kind, p))
            if self._leader() == before or len(kinds) == 1 or not self.whole:
                break
        for arm in sorted(self._trained(), key=self._order)[:FINALISTS]:
            self._more(arm)
        return min(self._finalists() or self._trained(), key=self._order)

    def seeds(self) -> range:
        """The seeds of the search. Those that judge come behind."""
        return range(self.seed, self.seed + FIRST + MORE)

    def found(self, arm: Arm) -> list[SeedTraining]:
        """The arm's trainings in the search, by seed."""
        known = self.trainings.known
        return [known[arm.key, seed] for seed in self.seeds() if (arm.key, seed) in known]

    def loss(self, arm: Arm, first: bool = False) -> float | None:
        """The mean of the metric over the arm's seeds, less being better; None where one failed or diverged.

        Arguments:
            first: whether only the seeds that all arms have count.
        """
        found = self.found(arm)[: FIRST if first else None]
        if len(found) < FIRST or any(item.ended != "trained" for item in found):
            return None
        return self._sign * fmean(item.figures[self.trainings.metric] for item in found)

    def _try(self, arm: Arm) -> None:
        """Train an arm on the first seeds, if the budget has room."""
        if arm.key in self.arms:
            return
        if self._left < FIRST:
            self.whole = False
            return
        self._left -= FIRST
        self.arms[arm.key] = arm
        for seed in self.seeds()[:FIRST]:
            if self.trainings.run(arm, seed).ended != "trained":
                break  # it is out of the race

    def _more(self, arm: Arm) -> None:
        for seed in self.seeds()[FIRST:]:
            if self.trainings.run(arm, seed).ended != "trained":
                break

    def _trained(self) -> list[Arm]:
        return [arm for arm in self.arms.values() if self.loss(arm) is not None]

    def _finalists(self) -> list[Arm]:
        return [arm for arm in self._trained() if len(self.found(arm)) == FIRST + MORE]

    def _leader(self) -> Arm:
        return min(self._trained(), key=self._order)

    def _order(self, arm: Arm) -> tuple[float, float]:
        """By loss, and at equal loss by less dropout."""
        loss = self.loss(arm)
        return (float("inf") if loss is None else loss), sum(arm.by_place().values())

    def _first_reason(self) -> str:
        return next(self._reasons(), "")

    def _reasons(self) -> Iterator[str]:
        for arm in self.arms.values():
            for item in self.found(arm):
                if item.ended != "trained":
                    yield f"{arm.name}, seed {item.seed}: {item.reason}"
