"""Which trials to run next, given those that have finished.

1. Search: every p, and every weight decay of the L2 arm, at every learning rate, on the first seeds. Where the best
   rate is the largest or smallest tried, the grid is widened by one, a few times at most; likewise the weight decay.
2. Final: every p, and the best weight decay, at its best learning rate, on all seeds.
3. Inputs: where the best p is above 0, the same search and final for dropping inputs as well.

Everything here is decided from `ValidationFigures`, which has no test figures: what cannot be seen cannot be chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .record import Arm
from .trial import Config

SEARCH_SEEDS = 2
WIDENINGS = 2


@dataclass(frozen=True)
class ValidationFigures:
    """What a choice may depend on: a trial's figures on validation rows.

    `loss` is the squared error of the prediction, for classes the Brier score. It decides because two seeds are few:
    it follows the error, and scatters less, since it is not a count of rows.
    """

    config: Config
    loss: float
    nll: float


@dataclass(frozen=True)
class Candidate:
    """An arm with its strength, for which a learning rate is sought."""

    arm: Arm
    p: float
    weight_decay: float
    p_input: float = 0.0

    def at(self, lr: float, seed: int) -> Config:
        return Config(self.arm, self.p, lr, self.weight_decay, seed, self.p_input)


@dataclass(frozen=True)
class Grid:
    """What is tried. One learning rate only means that it is given, and neither searched nor widened.

    `p_input` is the rate at which inputs are dropped in the third stage; at 0 there is none.
    """

    ps: tuple[float, ...]
    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    seeds: int
    p_input: float = 0.0


class Chooser:
    """Decides which trials to run, given those that have finished."""

    def __init__(self, grid: Grid, seen: Iterable[ValidationFigures]) -> None:
        self.grid = grid
        self.seen = {item.config: item for item in seen}
        self.seeds = range(grid.seeds)
        self.search_seeds = range(min(SEARCH_SEEDS, grid.seeds))

    def missing(self) -> list[Config]:
        """The next round's trials, in the order to run them; none when the study is complete."""
        stages = (
            self._search,
            lambda: [config for candidate in self._main() for config in self._final(candidate)],
            lambda: [config for candidate in self._inputs() for config in self._searched(candidate)],
            lambda: [config for candidate in self._inputs() for config in self._final(candidate)],
        )
        for stage in stages:
            if wanted := self._open(stage()):
                return sorted(wanted, key=lambda config: config.seed)
        return []

    def outlook(self) -> int:
        """How many trials the whole study will have, as far as can be told: widening may add some."""
        later = self.grid.seeds - len(self.search_seeds)
        inputs = len(self.grid.lrs) * len(self.search_seeds) + later if self.grid.p_input else 0
        return len(self._search()) + (len(self.grid.ps) + 1) * later + inputs

    def finals(self) -> list[Candidate]:
        """The candidates that were run on all seeds: each p, the chosen weight decay, and inputs dropped as well."""
        done = [candidate for candidate in self._inputs() if not self._open(self._searched(candidate))]
        return [*self._main(), *(candidate for candidate in done if not self._open(self._final(candidate)))]

    def chosen(self) -> set[Config]:
        """Every trial at the learning rate that was settled on for its final candidate; none while that is open."""
        if self.seeds_done() < self.grid.seeds:
            return set()
        return {config for candidate in self.finals() for config in self._final(candidate)}

    def seeds_done(self) -> int:
        """On how many seeds, from the first, every p and weight decay has been run: 0 while the search goes on."""
        if self._open(self._search()):
            return 0
        finals = [candidate.at(self.lr(candidate), seed) for seed in self.seeds for candidate in self._main()]
        return min((config.seed for config in self._open(finals)), default=self.grid.seeds)

    def dropout(self) -> list[Candidate]:
        return [self.at(p) for p in self.grid.ps]

    def at(self, p: float) -> Candidate:
        """The dropout arm at p."""
        return Candidate("dropout", p, 0.0)

    def lr(self, candidate: Candidate) -> float:
        """The learning rate with the least validation loss on the search seeds; ties by NLL, then the smaller one."""
        return min(self.tried(candidate), key=lambda lr: (*self._mean(candidate, lr, self.search_seeds), lr))

    def weight_decay(self) -> float:
        """The L2 arm's strength, chosen likewise, each at its own learning rate."""
        return min(self._weight_decays(), key=lambda decay: (*self._best(Candidate("l2", 0.0, decay)), decay))

    def p(self) -> float:
        """The rate with the least validation loss over all seeds, 0 among them; ties by NLL, then the smaller rate."""
        return self._least(self.dropout()).p

    def p_above_zero(self) -> float:
        """The best rate that is dropout at all: what to compare with where `p` is 0."""
        return self._least([candidate for candidate in self.dropout() if candidate.p > 0]).p

    def best(self) -> Candidate:
        """The network to take away: the best p, with inputs dropped as well where that does better still."""
        return self._least([candidate for candidate in self.finals() if candidate.arm != "l2"])

    def tried(self, candidate: Candidate) -> list[float]:
        """The learning rates whose search is finished, smallest first."""
        return [lr for lr in self._ladder_of_lr(candidate) if not self._open(self._at(candidate, lr))]

    def _main(self) -> list[Candidate]:
        return [*self.dropout(), Candidate("l2", 0.0, self.weight_decay())]

    def _inputs(self) -> list[Candidate]:
        """The candidate that drops inputs as well, once the best p is known and above 0."""
        if not self.grid.p_input or self.seeds_done() < self.grid.seeds or self.p() == 0:
            return []
        return [Candidate("input", self.p(), 0.0, self.grid.p_input)]

    def _least(self, candidates: Sequence[Candidate]) -> Candidate:
        return min(candidates, key=lambda c: (*self._mean(c, self.lr(c), self.seeds), c.p, c.p_input))

    def _search(self) -> list[Config]:
        decays = [Candidate("l2", 0.0, decay) for decay in self._weight_decays()]
        return [config for candidate in [*self.dropout(), *decays] for config in self._searched(candidate)]

    def _searched(self, candidate: Candidate) -> list[Config]:
        return [config for lr in self._ladder_of_lr(candidate) for config in self._at(candidate, lr)]

    def _ladder_of_lr(self, candidate: Candidate) -> list[float]:
        def figure(lr: float) -> tuple[float, float] | None:
            return None if self._open(self._at(candidate, lr)) else self._mean(candidate, lr, self.search_seeds)

        return ladder(self.grid.lrs, figure)

    def _weight_decays(self) -> list[float]:
        def figure(decay: float) -> tuple[float, float] | None:
            candidate = Candidate("l2", 0.0, decay)
            return None if self._open(self._searched(candidate)) else self._best(candidate)

        return ladder(self.grid.weight_decays, figure)

    def _final(self, candidate: Candidate) -> list[Config]:
        return [candidate.at(self.lr(candidate), seed) for seed in self.seeds]

    def _best(self, candidate: Candidate) -> tuple[float, float]:
        return self._mean(candidate, self.lr(candidate), self.search_seeds)

    def _mean(self, candidate: Candidate, lr: float, seeds: Sequence[int]) -> tuple[float, float]:
        found = [self.seen[candidate.at(lr, seed)] for seed in seeds]
        return sum(item.loss for item in found) / len(found), sum(item.nll for item in found) / len(found)

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
