"""What a curve is: p as a pure function of the step, to be read, plotted and multiplied. `thinned.schedules` has all.

Every one is a small frozen dataclass: `p = curve(step)`, where the step is the number of optimiser steps that are over.
The first step of training has 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, cast

from ..noise import PROBABILITY, ArgumentRule, Integer, check

STEP = Integer(0, 2**63 - 1, "[0, 2**63)")
LENGTH = Integer(1, 2**63 - 1, "[1, 2**63)")


def probability() -> float:
    return cast(float, field(metadata={"rule": PROBABILITY}))


def length() -> int:
    return cast(int, field(metadata={"rule": LENGTH}))


class Curve:
    """p as a function of the step. `a * b` is the product, of two curves or of a curve and a number in [0, 1]."""

    def __post_init__(self) -> None:
        parameters: Sequence[Field[Any]] = fields(self)  # type: ignore[arg-type]
        for parameter in parameters:
            rule: ArgumentRule | None = parameter.metadata.get("rule")
            if rule is not None:
                check(rule, type(self).__name__, parameter.name, getattr(self, parameter.name))

    def __call__(self, step: int) -> float:
        """p after `step` steps, in [0, 1]."""
        return self.at(int(check(STEP, type(self).__name__, "step", step)))

    def at(self, step: int) -> float:
        raise NotImplementedError

    def __mul__(self, other: Curve | float) -> Curve:
        return other * self if isinstance(other, ByDepth) else Product(self, curve(other))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Constant(Curve):
    """The same p at every step.

    >>> Constant(0.1)(7)
    0.1
    """

    p: float = probability()

    def at(self, step: int) -> float:
        return float(self.p)


@dataclass(frozen=True)
class Product(Curve):
    """`first(step) * second(step)`, written `first * second`.

    >>> (Constant(0.5) * 0.5)(50)
    0.25
    """

    first: Curve
    second: Curve

    def __post_init__(self) -> None:
        for factor in (self.first, self.second):
            _flat("Product", factor)

    def at(self, step: int) -> float:
        return self.first(step) * self.second(step)


@dataclass(frozen=True)
class ByDepth(Curve):
    """The last block's p, which earlier blocks have in proportion to their depth: block l of L has `p(step) * l / L`.

    The linear decay of stochastic depth, at every step of a curve. `thinned.Schedule` counts the blocks; called by
    itself it is the last one's. Source: Huang, Sun, Liu, Sedra and Weinberger 2016, equation 4.

    >>> [ByDepth(0.5).block(number, of=4)(0) for number in (1, 2, 3, 4)]
    [0.125, 0.25, 0.375, 0.5]
    """

    last: Curve | float

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", _flat("ByDepth", curve(self.last)))

    def __mul__(self, other: Curve | float) -> ByDepth:
        return ByDepth(cast(Curve, self.last) * curve(_flat("ByDepth", other)))

    __rmul__ = __mul__

    def block(self, number: int, of: int) -> Curve:
        """The curve of block `number`, 1 to `of`."""
        check(LENGTH, "ByDepth", "of", of)
        check(Integer(1, of, f"[1, {of}]"), "ByDepth", "number", number)
        return cast(Curve, self.last) if number == of else cast(Curve, self.last) * (number / of)

    def at(self, step: int) -> float:
        return cast(Curve, self.last)(step)


def curve(value: Curve | float) -> Curve:
    """A curve as it is, a number in [0, 1] as a constant."""
    return value if isinstance(value, Curve) else Constant(value)


def _flat(owner: str, value: Any) -> Any:
    """Not a curve by depth: in a product that would be lost, or counted twice."""
    if isinstance(value, ByDepth):
        raise ValueError(f"`{owner}`: depth must be counted once, and outermost. Got {value!r}. Write ByDepth(a * b).")
    return value
