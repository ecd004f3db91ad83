"""One rule for bad arguments, stated as data: whoever takes `p`, `scaling` or `key` checks it here, in one wording.

An error names the owner, the argument, the rule, the value received and the next step. A value of the wrong type is a
`TypeError`, a value of the right type outside its range a `ValueError`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class ArgumentRule(Protocol):
    """What a value must be. `fault` answers None when the value obeys, else the error's class and the next step."""

    @property
    def text(self) -> str: ...

    def fault(self, value: object) -> tuple[type[Exception], str] | None: ...


def check(rule: ArgumentRule, owner: str, argument: str, value: Any) -> Any:
    """Return `value`, or raise the rule's error in the house's wording.

    >>> check(PROBABILITY, "StochasticDepth", "p", 20)
    Traceback (most recent call last):
    ValueError: `StochasticDepth`: `p` must be a number in [0, 1]. Got 20. If 20 % was meant, pass 0.2.
    """
    fault = rule.fault(value)
    if fault is not None:
        kind, next_step = fault
        raise kind(f"`{owner}`: `{argument}` {rule.text}. Got {value!r}. {next_step}")
    return value


@dataclass(frozen=True, slots=True)
class Probability:
    """A real number in [0, 1]; booleans, text and None are not numbers."""

    text: str = "must be a number in [0, 1]"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if type(value) is float and 0.0 <= value <= 1.0:  # first, because every call of a layer asks
            return None
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return TypeError, self._instead_of(value)
        number = float(value)
        if 0.0 <= number <= 1.0:
            return None
        if math.isnan(number):
            return ValueError, "Find where the nan came from, or pass 0.0 for no dropout."
        if 1.0 < number <= 100.0 and number == int(number):
            return ValueError, f"If {number:g} % was meant, pass {number / 100:g}."
        return ValueError, "`p` is the probability that a unit is dropped: 0.0 drops nothing, 1.0 everything."

    @staticmethod
    def _instead_of(value: object) -> str:
        if value is None:
            return "For no dropout, pass 0.0."
        if isinstance(value, str):
            try:
                return f"Pass the number {float(value):g}, not text."
            except ValueError:
                return "Pass a number, not text."
        if isinstance(value, bool):
            return f"Pass {float(value):.1f} if that was meant."
        return "Pass a float."


@dataclass(frozen=True, slots=True)
class Deviation:
    """A standard deviation: a finite number, not negative."""

    text: str = "must be a finite number, 0 or more"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return TypeError, "Pass a float."
        if 0.0 <= float(value) < math.inf:
            return None
        return ValueError, "It is the noise's standard deviation: 0.0 is no noise."


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"must be one of {', '.join(map(repr, self.options))}"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, str) and value in self.options:
            return None
        kind = ValueError if isinstance(value, str) else TypeError
        return kind, f"The default is {self.options[0]!r}."


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer in [low, high]; booleans are not integers."""

    low: int
    high: int
    range_text: str

    @property
    def text(self) -> str:
        return f"must be an integer in {self.range_text}"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            return TypeError, "Pass an int."
        if self.low <= int(value) <= self.high:
            return None
        return ValueError, f"Pass a number in {self.range_text}."


@dataclass(frozen=True, slots=True)
class Axes:
    """Axis numbers, each once, of a tensor whose rank is not known yet."""

    text: str = "must be a sequence of axis numbers"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        axes = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [None]
        if not all(isinstance(axis, numbers.Integral) and not isinstance(axis, bool) for axis in axes):
            return TypeError, "Pass a tuple of ints, such as (1,)."
        if len(set(axes)) < len(axes):
            return ValueError, "Name each axis once."
        return None


AXES = Axes()
PROBABILITY = Probability()
DEVIATION = Deviation()
SCALING = Choice(("inverted", "classic"))
UINT64 = Integer(0, 2**64 - 1, "[0, 2**64)")
