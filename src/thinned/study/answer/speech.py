"""Figures as words: the deciding metric, errors and likelihoods, each with its unit, and levels by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..record import Arm, Difference, Study

SHARES = ("error", "balanced-error", "auc", "f1")  # metrics that are shares of 1, said in percent and points


class NamedLevel(Protocol):
    """What a level's name is made of."""

    @property
    def arm(self) -> Arm: ...
    @property
    def p(self) -> float: ...
    @property
    def p_input(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def name(level: NamedLevel) -> str:
    """What a level is called in words, tables and figures.

    Of several kinds: "p = 0", "p = 0.3", "weight decay 0.5", "p = 0.3 with weight decay 0.5", "p = 0.3, inputs 0.2".
    """
    if level.arm == "decay":
        return f"weight decay {level.weight_decay:g}"
    if level.arm == "both":
        return f"p = {level.p:g} with weight decay {level.weight_decay:g}"
    return f"p = {level.p:g}" + (f", inputs {level.p_input:g}" if level.arm == "input" else "")


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(sentence: str) -> str:
    """A sentence with its first letter large; the p of "p = 0" stays as it is.

    >>> capital("tuned is better"), capital("p = 0 is better")
    ('Tuned is better', 'p = 0 is better')
    """
    return sentence if sentence.startswith("p =") else sentence[:1].upper() + sentence[1:]


@dataclass(frozen=True)
class Speech:
    """How this study's figures are said."""

    percent: bool
    title: str  # of the deciding metric
    target: str
    metric: str

    @classmethod
    def of(cls, study: Study) -> Speech:
        return cls(study.metric in SHARES, study.metric_title, study.target, study.metric)

    def value(self, value: float) -> str:
        """A metric's value.

        >>> Speech(True, "test error", "species", "error").value(0.083)
        '8.3 %'
        """
        return f"{100 * value:.1f} %" if self.percent else digits(value, 4)

    def size(self, value: float) -> str:
        """The size of a difference, without its sign: at least so much that it is not said to be nothing.

        >>> Speech(True, "test error", "species", "error").size(-0.0042)
        '0.4 points'
        """
        return f"{self.number(abs(value))} points" if self.percent else digits(abs(value), 3)

    def number(self, value: float) -> str:
        """A difference's figure, rounded as `size` and `span` round it."""
        if not self.percent:
            return digits(value, 3)
        places = 1 if abs(value) >= 0.001 or value == 0 else 2
        while value != 0 and float(f"{100 * value:.{places}f}") == 0 and places < 6:
            places += 1
        return f"{100 * value:.{places}f}"

    def span(self, value: float, low: float, high: float) -> str:
        """A signed difference with its 95 % interval, in as many digits as it takes to tell its ends apart.

        >>> speech = Speech(True, "test error", "species", "error")
        >>> speech.span(-0.007, -0.012, -0.003)
        '-0.7 points (95 % interval -1.2 to -0.3)'
        >>> speech.span(0.0, 0.0, 0.0)
        '0.0 points (no interval: no seed and no row differs)'
        """
        unit = " points" if self.percent else ""
        if low == high:
            return (
                f"{self.signed(value) if value else self.number(0.0)}{unit} (no interval: no seed and no row differs)"
            )
        middle, least, most = self.told_apart(value, low, high)
        return f"{middle}{unit} (95 % interval {least} to {most})"

    def told_apart(self, value: float, low: float, high: float) -> tuple[str, str, str]:
        """A signed difference and the ends of its interval, which differ as text where they differ as numbers."""
        texts = (self.signed(value), self.signed(low), self.signed(high))
        places = 2
        while texts[1] == texts[2] and low < high and places < 15:
            texts = (self.signed(value, places), self.signed(low, places), self.signed(high, places))
            places += 1
        return texts

    def signed(self, value: float, places: int | None = None) -> str:
        """A difference's figure with its sign; `places` are decimals of a percentage, or significant digits."""
        if places is None:
            text = self.number(value)
        else:
            text = f"{100 * value:.{places}f}" if self.percent else digits(value, places + 2)
        return text if text.startswith("-") else f"+{text}"


def digits(value: float, count: int) -> str:
    """A plain number in so many significant digits, whole and with commas where it is larger than they reach.

    >>> digits(0.12345, 3), digits(-54321.6, 4), digits(0.0, 3)
    ('0.123', '-54,322', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 10**count else f"{value:.{count}g}"


def needed(item: Difference) -> str:
    """What it would take to see a true difference as large as the one found."""
    if not item.low <= 0 <= item.high or item.value == 0:
        return ""
    ways = []
    if item.seeds_needed is not None:
        ways.append(f"{item.seeds_needed:,} seeds")
    if item.rows_needed is not None:
        ways.append(f"{item.rows_needed:,} test rows")
    return " or ".join(ways)
