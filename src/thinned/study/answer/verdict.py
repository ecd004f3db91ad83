"""What differences to p = 0 say, as ranges of p of which one thing is true.

Each p has the 95 % interval of its figure minus that of p = 0, smaller being better. It is

    level     within the margin on both sides: nothing worth having, however surely
    better    below 0
    worse     above 0
    unclear   none of these: the study could not tell

Neighbours of one kind make a run, and a run says only what is true of each of its members. The 95 % hold for each p by
itself: of twenty p's without any effect, one is called better or worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from ..record import Kind

WORTH = 0.05  # of p = 0's figure: a smaller difference is not worth having


class Bounded(Protocol):
    """A value with its 95 % interval: an `Interval`, or what a record keeps of it."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Stretch:
    """Neighbouring p's of one kind.

    Arguments:
        ps: ascending.
        low, high: the interval that holds every member's interval: each member's effect is within it.
        least, most: the least and the largest of the members' values, signs as they are.
    """

    ps: tuple[float, ...]
    kind: Kind
    low: float
    high: float
    least: float
    most: float

    @property
    def either_way(self) -> float:
        """How large the effect of a member can be, whichever its sign: "at most ... either way"."""
        return max(abs(self.low), abs(self.high))

    @property
    def at_least(self) -> float:
        """How large the effect of every member is, whichever its sign; 0 where 0 is possible."""
        return max(self.low, -self.high, 0.0)


def margin(plain: float, share: float = WORTH) -> float:
    """What a difference must exceed to be worth having: a share of p = 0's figure.

    Raises ValueError for a share that is negative.
    """
    if share < 0:
        raise ValueError(f"`margin`: `share` must be 0 or above. Got {share}. It is a share of the figure at p = 0.")
    return share * abs(plain)


def kind(found: Bounded, margin: float) -> Kind:
    """What an interval says."""
    if -margin <= found.low and found.high <= margin:
        return "level"
    if found.high < 0:
        return "better"
    return "worse" if found.low > 0 else "unclear"


def runs(differences: Mapping[float, Bounded], margin: float) -> tuple[Stretch, ...]:
    """The p's above 0 in ascending order, neighbours of one kind together.

    Arguments:
        differences: for each p, its figure minus that of p = 0, paired. No entry for 0.
        margin: in the same unit, 0 or above.

    Raises ValueError for an entry at p = 0, or a margin below 0.
    """
    if margin < 0 or 0 in differences:
        raise ValueError(
            "`runs`: `margin` must be 0 or above, and `differences` have no entry for p = 0, with which the others are "
            f"compared. Got margin {margin}, p's {sorted(differences)}."
        )
    together = groupby(sorted(differences), key=lambda p: kind(differences[p], margin))
    return tuple(_run(tuple(ps), name, differences) for name, ps in together)


def _run(ps: tuple[float, ...], name: Kind, differences: Mapping[float, Bounded]) -> Stretch:
    members = [differences[p] for p in ps]
    values = [one.value for one in members]
    low, high = min(one.low for one in members), max(one.high for one in members)
    return Stretch(ps, name, low, high, min(values), max(values))
