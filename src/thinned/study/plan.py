"""Which trials to run next, given those that have finished.

1. Search: every p, and every weight decay of the L2 arm, at every learning rate, on the first seeds. Where the best
   rate is the largest or smallest tried, the grid is widened by one, a few times at most; likewise the weight decay.
2. Final: every p, and the best weight decay, at its two best learning rates on all seeds; the better one is its own.
   (Two seeds are enough to find the right region, and too few to tell neighbours apart.)

Everything here is decided from `Seen`, which has no test figures: what cannot be seen cannot be chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .record import Arm
from .trial import Config

SEARCH_SEEDS = 2
WIDENINGS = 2
FINALISTS = 2  # learning rates that go on to all seeds


@dataclass(frozen=True)
class Seen:
    """What a choice may depend on."""

    config: Config
    error: float  # on validation rows
    nll: float


@dataclass(frozen=True)
class Candidate:
    """An arm with its strength, for which a learning rate is sought."""

    arm: Arm
    p: float
    weight_decay: float

    def at(self, lr: float, seed: int) -> Config:
        return Config(self.arm, self.p, lr, self.weight_decay, seed)


@dataclass(frozen=True)
class Plan:
    """The grid. One learning rate only means that it is given, and neither searched nor widened."""

    ps: tuple[float, ...]
    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    seeds: int


class Chooser:
    """The plan's decisions, given finished trials."""

    def __init__(self, plan: Plan, seen: Iterable[Seen]) -> None:
        self.plan = plan
        self.seen = {item.config: item for item in seen}
        self.search_seeds = range(min(SEARCH_SEEDS, plan.seeds))

    def missing(self) -> list[Config]:
        """The next round's trials, in the order to run them; none when the study is complete."""
        wanted = self._search()
        if not self._open(wanted):
            wanted = [
                config for candidate in self.finals() for config in self._final(candidate, range(self.plan.seeds))
            ]
        return sorted(self._open(wanted), key=lambda config: config.seed)

    def outlook(self) -> int:
        """How many trials the whole study will have, as far as can be told: widening may add some."""
        finalists = min(FINALISTS, len(self.plan.lrs))
        return len(self._search()) + (len(self.plan.ps) + 1) * finalists * (self.plan.seeds - len(self.search_seeds))

    def finals(self) -> list[Candidate]:
        """The candidates that are run on all seeds, once the search is over: each p, and the chosen weight decay."""
        return [*self.dropout(), Candidate("l2", 0.0, self.weight_decay())]

    def chosen(self) -> set[Config]:
        """Every trial at the learning rate that was settled on for its final candidate; none while that is open."""
        if self.seeds_done() < self.plan.seeds:
            return set()
        return {
            candidate.at(self.lr(candidate), seed) for candidate in self.finals() for seed in range(self.plan.seeds)
        }

    def seeds_done(self) -> int:
        """On how many seeds, from the first, every final trial has been run: 0 while the search goes on."""
        if self._open(self._search()):
            return 0
        finals = self.finals()
        whole = (not self._open(c for f in finals for c in self._final(f, [seed])) for seed in range(self.plan.seeds))
        return next((seed for seed, done in enumerate(whole) if not done), self.plan.seeds)

    def dropout(self) -> list[Candidate]:
        return [Candidate("dropout", p, 0.0) for p in self.plan.ps]

    def lr(self, candidate: Candidate) -> float:
        """Of the two finalists, the learning rate with the least validation error over all seeds."""
        return self._ranked(candidate, self.finalists(candidate), range(self.plan.seeds))[0]

    def finalists(self, candidate: Candidate) -> list[float]:
        """The learning rates with the least validation error on the search seeds, best first."""
        return self._ranked(candidate, self.tried(candidate), self.search_seeds)[:FINALISTS]

    def weight_decay(self) -> float:
        """The L2 arm's strength, chosen likewise, each at its own learning rate."""
        return min(self._weight_decays(), key=lambda decay: (*self._best(Candidate("l2", 0.0, decay)), decay))

    def p(self) -> float:
        """The rate with the least validation error over all seeds, 0 among them; ties by NLL, then the smaller rate."""
        return self._least(self.plan.ps)

    def p_above_zero(self) -> float:
        """The best rate that is dropout at all: what to compare with where `p` is 0."""
        return self._least([p for p in self.plan.ps if p > 0])

    def tried(self, candidate: Candidate) -> list[float]:
        """The learning rates whose search is finished, smallest first."""
        return [lr for lr in self._ladder_of_lr(candidate) if not self._open(self._at(candidate, lr))]

    def _least(self, ps: Sequence[float]) -> float:
        seeds = range(self.plan.seeds)
        by_p = {p: Candidate("dropout", p, 0.0) for p in ps}
        return min(ps, key=lambda p: (*self._mean(by_p[p], self.lr(by_p[p]), seeds), p))

    def _candidates(self) -> list[Candidate]:
        return [*self.dropout(), *(Candidate("l2", 0.0, decay) for decay in self._weight_decays())]

    def _search(self) -> list[Config]:
        return [
            config
            for candidate in self._candidates()
            for lr in self._ladder_of_lr(candidate)
            for config in self._at(candidate, lr)
        ]

    def _ladder_of_lr(self, candidate: Candidate) -> list[float]:
        def figure(lr: float) -> tuple[float, float] | None:
            return None if self._open(self._at(candidate, lr)) else self._mean(candidate, lr, self.search_seeds)

        return ladder(self.plan.lrs, figure)

    def _weight_decays(self) -> list[float]:
        def figure(decay: float) -> tuple[float, float] | None:
            candidate = Candidate("l2", 0.0, decay)
            configs = [config for lr in self._ladder_of_lr(candidate) for config in self._at(candidate, lr)]
            return None if self._open(configs) else self._best(candidate)

        return ladder(self.plan.weight_decays, figure)

    def _final(self, candidate: Candidate, seeds: Sequence[int]) -> list[Config]:
        return [candidate.at(lr, seed) for lr in self.finalists(candidate) for seed in seeds]

    def _best(self, candidate: Candidate) -> tuple[float, float]:
        return self._mean(candidate, self.finalists(candidate)[0], self.search_seeds)

    def _ranked(self, candidate: Candidate, lrs: Sequence[float], seeds: Sequence[int]) -> list[float]:
        """Least validation error first; ties by NLL, then the smaller rate."""
        return sorted(lrs, key=lambda lr: (*self._mean(candidate, lr, seeds), lr))

    def _mean(self, candidate: Candidate, lr: float, seeds: Sequence[int]) -> tuple[float, float]:
        found = [self.seen[candidate.at(lr, seed)] for seed in seeds]
        return sum(item.error for item in found) / len(found), sum(item.nll for item in found) / len(found)

    def _at(self, candidate: Candidate, lr: float) -> list[Config]:
        return [candidate.at(lr, seed) for seed in self.search_seeds]

    def _open(self, configs: Iterable[Config]) -> list[Config]:
        return [config for config in configs if config not in self.seen]


def ladder(grid: Sequence[float], figure: Callable[[float], tuple[float, float] | None]) -> list[float]:
    """The grid, widened by its own ratio towards the best value for as long as that is at an edge.

    Arguments:
        grid: positive values.
        figure: what to minimise, or None where it is not known yet: widening waits until everything is known.

    >>> ladder((1.0, 2.0, 4.0), lambda value: (abs(value - 16.0), 0.0))
    [1.0, 2.0, 4.0, 8.0, 16.0]
    >>> ladder((1.0, 2.0, 4.0), lambda value: None)
    [1.0, 2.0, 4.0]
    """
    values = sorted(grid)
    if len(values) < 2:
        return values
    for _ in range(WIDENINGS):
        figures = {value: figure(value) for value in values}
        known = {value: found for value, found in figures.items() if found is not None}
        if len(known) < len(values):
            return values
        best = min(known, key=lambda value: (*known[value], value))
        if best == values[0]:
            values.insert(0, float(f"{values[0] ** 2 / values[1]:.6g}"))
        elif best == values[-1]:
            values.append(float(f"{values[-1] ** 2 / values[-2]:.6g}"))
        else:
            break
    return values
