"""Which runs come next within one outer split, and what is chosen, from validation figures alone.

1. Search: every p, and every weight decay without dropout, at every learning rate, on the search seeds. The losses are
   smoothed over neighbouring learning rates and levels. Where the best lies at an end of a grid, the grid grows.
2. Finals: every p, and the best weight decay, at its learning rate, on all seeds.
3. At the best p above 0: weight decays beside it, and inputs dropped as well, searched and run to the end likewise.

Everything here is decided from `ValidationFigures`, which has no test figures: what cannot be seen cannot be chosen by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..trial.config import Config, Level, Unit
from .grid import WIDENINGS, WIDER_PS, Grid, above, below
from .smooth import smooth

PLAIN = Level("dropout")
ALIKE = 1.02  # losses of learning rates whose ratio is below it are alike


@dataclass(frozen=True)
class ValidationFigures:
    """What a choice may depend on: a run's squared error on validation rows, for classes the Brier score."""

    config: Config
    loss: float


class Chooser:
    """Decides for one outer split.

    Arguments:
        seeds: the split's seeds, in order.
        seen: the finished runs, of any split.
    """

    def __init__(self, grid: Grid, seeds: Sequence[int], seen: Iterable[ValidationFigures]) -> None:
        self.grid, self.seeds = grid, tuple(seeds)
        self.searching = self.seeds[: grid.search_seeds]
        self._losses = {item.config: item.loss for item in seen}
        self._tried: dict[Level, tuple[float, ...]] = {}
        self._rows: dict[tuple[Level, tuple[float, ...]], np.ndarray] = {}

    def missing(self) -> list[Unit]:
        """The next round's units, in the order to run them; none where the split is complete."""
        for stage in (self._search, self._finals, self._search_beside, self._finals_beside):
            if units := [part for unit in stage() for part in self._open_parts(unit)]:
                return units
        return []

    def levels(self) -> list[Level]:
        """The levels with a result: dropout by p, the best weight decay, both, inputs."""
        found = [level for level in self.dropout() if self.lr(level) is not None]
        beside = [level for level in (self.decay(), self.both(), self.input()) if level is not None]
        return [*found, *(level for level in beside if self.lr(level) is not None)]

    def dropout(self) -> list[Level]:
        """The dropout arm, by p, widened where its largest p does best."""
        ps = self.grid.ps
        if self.grid.widen_ps and max(ps) < WIDER_PS[0]:
            losses = [self._mean(Level("dropout", p)) for p in ps]
            if None not in losses and np.argmin(np.array(losses, dtype=float)) == len(ps) - 1:
                ps = (*ps, *WIDER_PS)
        return [Level("dropout", p) for p in ps]

    def p(self) -> float | None:
        """The best rate above 0, its loss smoothed over its neighbours; None before two of them have a result."""
        levels = [level for level in self.dropout() if self.lr(level) is not None]
        if not any(level.p > 0 for level in levels):
            return None
        smoothed = smooth([self._compared(levels)])[0]
        return min((loss, level.p) for loss, level in zip(smoothed, levels, strict=True) if level.p > 0)[1]

    def decay(self) -> Level | None:
        """The best weight decay without dropout."""
        return self._best(self._decays())

    def both(self) -> Level | None:
        """The best weight decay beside the best p."""
        p = self.p()
        return None if p is None else self._best(self._boths(p))

    def input(self) -> Level | None:
        """The best p with inputs dropped as well; None where p = 0 does better, or nothing is known yet."""
        p = self.p()
        if p is None or not self.grid.p_input:
            return None
        with_inputs = Level("input", p, 0.0, self.grid.p_input)
        plain, noisy = self._compared([PLAIN, Level("dropout", p)])
        return with_inputs if noisy <= plain else None

    def lr(self, level: Level) -> float | None:
        """The learning rate with the least smoothed loss; None before the level's search is done."""
        if self._open(self._searched(level)):
            return None
        lrs, losses = self._row(level)
        return lrs[int(np.argmin(losses))]

    def lrs(self, level: Level) -> tuple[float, ...]:
        """The learning rates that a level is tried at: the grid, widened at an end where the best one lies."""
        if level not in self._tried:
            self._tried[level] = self._ladder(level)
        return self._tried[level]

    def at_edge(self, level: Level) -> bool:
        """Whether the loss still falls towards the least or the largest learning rate that was tried."""
        if self.lr(level) is None or len(self.lrs(level)) < 2:
            return False
        losses = self._row(level)[1]
        return _falls(losses) or _falls(losses[::-1])

    def configs(self, level: Level) -> list[Config]:
        """The level's finished runs at its learning rate, by seed."""
        lr = self.lr(level)
        if lr is None:
            return []
        found = [Config(level, lr, seed) for seed in self.seeds]
        return [config for config in found if config in self._losses]

    def losses(self, level: Level) -> dict[int, float]:
        """The validation losses behind `configs`, by seed."""
        return {config.seed: self._losses[config] for config in self.configs(level)}

    def _ladder(self, level: Level) -> tuple[float, ...]:
        lrs = self.grid.lrs
        if len(lrs) < 2:
            return lrs
        for _ in range(2 * WIDENINGS):
            if self._open([Config(level, lr, seed) for lr in lrs for seed in self.searching]):
                break
            losses = self._row(level, lrs)[1]
            added = len(lrs) - len(self.grid.lrs)
            if _falls(losses) and lrs[0] == self.grid.lrs[0]:
                lrs = (below(lrs), *lrs)
            elif _falls(losses[::-1]) and added < WIDENINGS and above(lrs) <= self.grid.lr_limit:
                lrs = (*lrs, above(lrs))
            else:
                break
        return lrs

    def _search(self) -> list[Unit]:
        return self._at_all_rates([*self.dropout(), *self._decays()])

    def _finals(self) -> list[Unit]:
        decay = self.decay()
        levels = [*self.dropout(), *([] if decay is None else [decay])]
        return [unit for level in levels for unit in self._rest(level)]

    def _search_beside(self) -> list[Unit]:
        p = self.p()
        if p is None:
            return []
        inputs = self.input()
        return self._at_all_rates([*self._boths(p), *([] if inputs is None else [inputs])])

    def _at_all_rates(self, levels: list[Level]) -> list[Unit]:
        """Levels at the grid's learning rates, and once these are done, at those that the grid grew by."""
        first = [unit for level in _far_apart(levels) for unit in self._units(level, self.grid.lrs)]
        if any(self._open(unit.configs()) for unit in first):
            return first
        return [unit for level in levels for unit in self._widened(level)]

    def _finals_beside(self) -> list[Unit]:
        return [unit for level in (self.both(), self.input()) if level is not None for unit in self._rest(level)]

    def _decays(self) -> list[Level]:
        """Weight decays without dropout, widened once at an end where the best one lies."""
        decays = self.grid.weight_decays
        best = self._best([Level("decay", 0.0, decay) for decay in decays])
        if best is not None and len(decays) > 1:
            if best.weight_decay == decays[0]:
                decays = (below(decays), *decays)
            elif best.weight_decay == decays[-1]:
                decays = (*decays, above(decays))
        return [Level("decay", 0.0, decay) for decay in decays]

    def _boths(self, p: float) -> list[Level]:
        """The weight decay that is best alone, and of a fine grid the next weaker one: dropout needs less beside it."""
        decays = [level.weight_decay for level in self._decays()]
        best = self.decay()
        at = 0 if best is None else decays.index(best.weight_decay)
        weaker = at - 1 if len(self.grid.weight_decays) > 2 else at
        return [Level("both", p, decay) for decay in decays[max(weaker, 0) : at + 1]]

    def _best(self, levels: list[Level]) -> Level | None:
        """The level with the least smoothed loss; None before all have one."""
        losses = [loss for level in levels if (loss := self._mean(level)) is not None]
        if len(losses) < len(levels):
            return None
        return levels[int(np.argmin(losses))]

    def _units(self, level: Level, lrs: tuple[float, ...]) -> list[Unit]:
        return [Unit(level, lrs, seeds) for seeds in self._blocks(self.searching)]

    def _widened(self, level: Level) -> list[Unit]:
        return [unit for lr in self.lrs(level) if lr not in self.grid.lrs for unit in self._units(level, (lr,))]

    def _rest(self, level: Level) -> list[Unit]:
        lr = self.lr(level)
        if lr is None:
            return []
        return [Unit(level, (lr,), seeds) for seeds in self._blocks(self.seeds[len(self.searching) :])]

    def _blocks(self, seeds: tuple[int, ...]) -> list[tuple[int, ...]]:
        size = self.grid.together
        return [seeds[start : start + size] for start in range(0, len(seeds), size)]

    def _searched(self, level: Level) -> list[Config]:
        return [Config(level, lr, seed) for lr in self.lrs(level) for seed in self.searching]

    def _mean(self, level: Level) -> float | None:
        """The smoothed loss at the level's learning rate, over the search seeds."""
        if self._open(self._searched(level)):
            return None
        return float(np.min(self._row(level)[1]))

    def _row(self, level: Level, lrs: tuple[float, ...] | None = None) -> tuple[tuple[float, ...], np.ndarray]:
        """A level's losses by learning rate, smoothed over them and over the levels beside it on its grid."""
        lrs = lrs or self.lrs(level)
        if (level, lrs) not in self._rows:
            family = self._family(level)
            table = [[self._cell(member, lr) for lr in lrs] for member in family]
            self._rows[level, lrs] = smooth(table)[family.index(level)]
        return lrs, self._rows[level, lrs]

    def _family(self, level: Level) -> list[Level]:
        """The level with its neighbours on the grid of its arm."""
        if level.arm == "dropout":
            ps = sorted({*self.grid.ps, *WIDER_PS, level.p})
            at = ps.index(level.p)
            return [Level("dropout", p) for p in ps[max(at - 1, 0) : at + 2]]
        if level.arm == "input":
            return [level]
        row = sorted({*self.grid.weight_decays, level.weight_decay})
        at = row.index(level.weight_decay)
        decays = tuple(row[max(at - 1, 0) : at + 2])
        first = [] if at else [Level("dropout", level.p)]
        return [*first, *(Level(level.arm, level.p, decay) for decay in decays)]

    def _cell(self, level: Level, lr: float) -> float:
        found = [self._losses.get(Config(level, lr, seed)) for seed in self.searching]
        losses = [loss for loss in found if loss is not None]
        if len(losses) < len(found):
            return np.nan
        return float(np.mean([loss if np.isfinite(loss) else np.inf for loss in losses]))

    def _compared(self, levels: list[Level]) -> list[float]:
        """Their mean losses over the seeds that all of them have; inf where there is none."""
        found = [self.losses(level) for level in levels]
        seeds = set.intersection(*(set(losses) for losses in found))
        return [float(np.mean([losses[seed] for seed in seeds])) if seeds else np.inf for losses in found]

    def _open_parts(self, unit: Unit) -> list[Unit]:
        """The unit, or what is open of it where seeds, rates or steps were added to a study: seeds by open rates."""
        by_lrs: dict[tuple[float, ...], list[int]] = {}
        for seed in unit.seeds:
            lrs = tuple(lr for lr in unit.lrs if Config(unit.level, lr, seed) not in self._losses)
            by_lrs.setdefault(lrs, []).append(seed)
        return [Unit(unit.level, lrs, tuple(seeds)) for lrs, seeds in by_lrs.items() if lrs]

    def _open(self, configs: Iterable[Config]) -> list[Config]:
        return [config for config in configs if config not in self._losses]


def _falls(losses: np.ndarray) -> bool:
    """Whether the first loss is clearly the least: towards a flat end nothing is to be had."""
    return bool(losses[0] == losses.min() and ALIKE * losses[0] < losses[1])


def _far_apart(levels: list[Level]) -> list[Level]:
    """The same levels, far ones first, so that a study that is stopped early has covered the whole range.

    >>> [level.p for level in _far_apart([Level("dropout", p / 10) for p in range(6)])]
    [0.0, 0.5, 0.3, 0.4, 0.2, 0.1]
    """
    ends = [index for index in dict.fromkeys((0, len(levels) - 1)) if levels]
    order = list(ends)
    rest = [index for index in range(len(levels)) if index not in order]
    while rest:
        index = max(rest, key=lambda i: (min(abs(i - j) for j in order), i))
        order.append(index)
        rest.remove(index)
    return [levels[index] for index in order]
