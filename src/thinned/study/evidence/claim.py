"""A published claim as a range for a number, and the verdict that an interval over seeds gives on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..chapters.interval import Values, over_seeds
from ..chapters.scene import Results
from ..record import Estimate

Measurer = Callable[[Results, Sequence[int]], "Measurement"]
Verdict = Literal["agrees", "disagrees", "not settled"]
RULE = (
    "agrees: the whole 95 % interval over seeds lies in the range that the claim names; disagrees: the whole interval "
    "lies outside of it; not settled: neither."
)


@dataclass(frozen=True)
class Measurement:
    """The number that a claim is about, one value a seed, and the means of what it is made of, by name."""

    values: Values
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, and the range in which a number of ours must lie for it to hold here.

    Arguments:
        says: the statement.
        paper: the paper's own figures, with the data that they are of.
        source: where the paper has them.
        number: what is measured here.
        measure: the number from finished trials.
        low, high: the range; without an end it is open.
        percent: whether the number is a share, said in points.
    """

    says: str
    paper: str
    source: str
    number: str
    measure: Measurer
    low: float = -math.inf
    high: float = math.inf
    percent: bool = False

    @property
    def range(self) -> str:
        """The range in words.

        >>> Claim("", "", "", "", lambda results, seeds: None, high=0.0).range
        'below 0'
        """
        if math.isinf(self.low):
            return f"below {self._end(self.high)}"
        if math.isinf(self.high):
            return f"above {self._end(self.low)}"
        return f"between {self._end(self.low)} and {self._end(self.high)}"

    def _end(self, value: float) -> str:
        return f"{100 * value:g} points" if self.percent and value else f"{value:g}"


@dataclass(frozen=True)
class Judged:
    """A claim with what was measured here."""

    claim: Claim
    parts: Mapping[str, float]
    found: Estimate

    @property
    def verdict(self) -> Verdict:
        return verdict(self.found, self.claim.low, self.claim.high)

    @property
    def ours(self) -> str:
        """The number with its interval, and what it is made of."""
        percent = self.claim.percent
        parts = ", ".join(f"{name} {_digits(value, percent)}{' %' * percent}" for name, value in self.parts.items())
        write = _signed if self.parts else _digits  # what is made of parts is a difference
        low, value, high = (write(one, percent) for one in (self.found.low, self.found.value, self.found.high))
        interval = (
            f"95 % interval {low} to {high}" if math.isfinite(self.found.high - self.found.low) else "no interval"
        )
        return f"{parts}{parts and ': '}{value}{' points' * percent} ({interval})"


def verdict(found: Estimate, low: float, high: float) -> Verdict:
    """What an interval says of a range. One seed has no interval, and settles nothing.

    >>> below_zero = -math.inf, 0.0
    >>> verdict(Estimate(value=-2.0, low=-3.0, high=-1.0), *below_zero)
    'agrees'
    >>> verdict(Estimate(value=2.0, low=1.0, high=3.0), *below_zero)
    'disagrees'
    >>> verdict(Estimate(value=-1.0, low=-3.0, high=1.0), *below_zero)
    'not settled'
    """
    if not math.isfinite(found.high - found.low):
        return "not settled"
    if low < found.low and found.high < high:
        return "agrees"
    if found.high < low or high < found.low:
        return "disagrees"
    return "not settled"


def judge(claim: Claim, results: Results, seeds: Sequence[int]) -> Judged:
    """A claim on finished trials."""
    measured = claim.measure(results, seeds)
    return Judged(claim, measured.parts, over_seeds(measured.values))


def difference(one: str, other: str, figure: str = "error") -> Measurer:
    """A figure of an arm minus that of another one, paired by seed."""

    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        above, below = of_arm(results, one, figure, seeds), of_arm(results, other, figure, seeds)
        return Measurement(above - below, {one: float(above.mean()), other: float(below.mean())})

    return measure


def of_arm(results: Results, arm: str, figure: str, seeds: Sequence[int]) -> Values:
    """A figure that is there, since every trial was run."""
    found = results.of(arm, figure, seeds)
    assert found is not None, (arm, figure)
    return found


def _digits(value: float, percent: bool) -> str:
    return f"{100 * value:.2f}" if percent else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def _signed(value: float, percent: bool) -> str:
    return ("+" if value >= 0 else "") + _digits(value, percent)
