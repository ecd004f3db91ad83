"""The course of a training of unknown length: cycles, each twice as long as the one before, with warm restarts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FIRST = 100  # steps
WARM_UP = 0.1  # the share of a cycle over which the learning rate rises
CHECKS = 10  # a cycle


@dataclass(frozen=True)
class Cycle:
    """Steps `start` to `end - 1`, over which the learning rate rises from 0 and falls to 0 again."""

    start: int
    end: int
    whole: bool  # False if the limit of steps has cut it short

    def lr_share(self, step: int) -> float:
        """The share of the highest learning rate that a step has: it rises for a tenth of the cycle, and falls to 0.

        >>> cycle = Cycle(100, 300, True)
        >>> [round(cycle.lr_share(step), 2) for step in (100, 119, 120, 200, 299)]
        [0.05, 1.0, 1.0, 0.56, 0.01]
        """
        done, length = step - self.start, self.end - self.start
        return min((done + 1) / (WARM_UP * length), (1 - done / length) / (1 - WARM_UP), 1.0)

    def checks(self) -> list[int]:
        """After how many steps in all the networks are measured: ten times a cycle, the last at its end.

        >>> Cycle(100, 300, True).checks()
        [120, 140, 160, 180, 200, 220, 240, 260, 280, 300]
        """
        length = self.end - self.start
        return sorted({self.start + max(round(length * number / CHECKS), 1) for number in range(1, CHECKS + 1)})


def cycles(max_steps: int, first: int = FIRST) -> Iterator[Cycle]:
    """Cycles of 100, 200, 400, ... steps. The last one is cut so that it ends at `max_steps`.

    A network can stop at the end of any of them with the learning rate at 0, and is never longer under way than twice
    what it turns out to need. Source: Loshchilov and Hutter 2017 (warm restarts, T_mult = 2).

    >>> [(cycle.start, cycle.end, cycle.whole) for cycle in cycles(1000)]
    [(0, 100, True), (100, 300, True), (300, 700, True), (700, 1000, False)]
    """
    start, length = 0, first
    while start < max_steps:
        end = min(start + length, max_steps)
        yield Cycle(start, end, end == start + length)
        start, length = end, 2 * length
