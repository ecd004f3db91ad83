"""HOW p moves over steps: pure functions of the step, to be read, plotted and multiplied. `thinned.schedules` has them.

Every one is a small frozen dataclass: `p = curve(step)`, where the step is the number of optimiser steps that are over.
The first step of training has 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, cast

from ..noise import PROBABILITY, Choice, Integer, Rule, check

STEP = Integer(0, 2**63 - 1, "[0, 2**63)")
LENGTH = Integer(1, 2**63 - 1, "[1, 2**63)")
SHAPE = Choice(("linear", "constant"))


@dataclass(frozen=True, slots=True)
class _Pace:
    text: str = "must be a finite number above 0"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return TypeError, "Pass a float."
        return None if 0.0 < value < math.inf else (ValueError, "10 / T comes within 5e-5 of the end at step T.")


def _probability() -> float:
    return cast(float, field(metadata={"rule": PROBABILITY}))


def _length() -> int:
    return cast(int, field(metadata={"rule": LENGTH}))


def _pace() -> float:
    return cast(float, field(metadata={"rule": _Pace()}))


class Curve:
    """p as a function of the step. `a * b` is the product, of two curves or of a curve and a number in [0, 1]."""

    def __post_init__(self) -> None:
        parameters: Sequence[Field[Any]] = fields(self)  # type: ignore[arg-type]
        for parameter in parameters:
            rule: Rule | None = parameter.metadata.get("rule")
            if rule is not None:
                check(rule, type(self).__name__, parameter.name, getattr(self, parameter.name))

    def __call__(self, step: int) -> float:
        """p after `step` steps, in [0, 1]."""
        return self.at(int(check(STEP, type(self).__name__, "step", step)))

    def at(self, step: int) -> float:
        raise NotImplementedError

    def __mul__(self, other: Curve | float) -> Product:
        return Product(self, curve(other))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Constant(Curve):
    """The same p at every step.

    >>> Constant(0.1)(7)
    0.1
    """

    p: float = _probability()

    def at(self, step: int) -> float:
        return float(self.p)


@dataclass(frozen=True)
class Linear(Curve):
    """From `start` to `end` in `steps` equal steps, then `end`: `start + (end - start) * step / steps`.

    >>> ramp = Linear(0.0, 0.5, steps=100)
    >>> ramp(0), ramp(50), ramp(100), ramp(1000)
    (0.0, 0.25, 0.5, 0.5)
    """

    start: float = _probability()
    end: float = _probability()
    steps: int = _length()

    def at(self, step: int) -> float:
        share = min(step / self.steps, 1.0)
        return self.start * (1.0 - share) + self.end * share


@dataclass(frozen=True)
class Cosine(Curve):
    """From `start` to `end` on half a wave, then `end`: `end + (start - end) * (1 + cos(pi * step / steps)) / 2`.

    >>> fall = Cosine(0.4, 0.0, steps=100)
    >>> [round(fall(step), 3) for step in (0, 25, 50, 75, 100)]
    [0.4, 0.341, 0.2, 0.059, 0.0]
    """

    start: float = _probability()
    end: float = _probability()
    steps: int = _length()

    def at(self, step: int) -> float:
        share = (1.0 - math.cos(math.pi * min(step / self.steps, 1.0))) / 2.0
        return self.start * (1.0 - share) + self.end * share


@dataclass(frozen=True)
class WarmUp(Curve):
    """From 0 to `p` in `steps` equal steps, then `p`: `Linear(0, p, steps)`.

    In front of another curve it is a factor: `WarmUp(1.0, 100) * Cosine(0.4, 0.0, 1000)`.

    >>> WarmUp(0.5, steps=4)(1)
    0.125
    """

    p: float = _probability()
    steps: int = _length()

    def at(self, step: int) -> float:
        return self.p * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class EarlyDropout(Curve):
    """Dropout in the first `steps` steps only, against underfitting: `p * (1 - step / steps)`, then 0.

    With `shape="constant"` it is `p` until then. Source: Liu, Xu, Jin, Shen and Darrell 2023, whose default falls
    linearly over the first 50 of 300 epochs. (Their code reaches 0 one step earlier.)

    >>> early = EarlyDropout(0.1, steps=1000)
    >>> early(0), early(500), early(1000), early(5000)
    (0.1, 0.05, 0.0, 0.0)
    """

    p: float = _probability()
    steps: int = _length()
    shape: str = field(default="linear", metadata={"rule": SHAPE})

    def at(self, step: int) -> float:
        if step >= self.steps:
            return 0.0
        return self.p * (1.0 - step / self.steps) if self.shape == "linear" else float(self.p)


@dataclass(frozen=True)
class LateDropout(Curve):
    """No dropout in the first `steps` steps, then `p`: the fit comes first, and regularisation later.

    Source: Liu et al. 2023, with a cutoff at 50 of 300 epochs.

    >>> late = LateDropout(0.4, steps=1000)
    >>> late(999), late(1000)
    (0.0, 0.4)
    """

    p: float = _probability()
    steps: int = _length()

    def at(self, step: int) -> float:
        return float(self.p) if step >= self.steps else 0.0


@dataclass(frozen=True)
class Curriculum(Curve):
    """From easy to hard: units are kept with probability `(1 - theta) exp(-gamma step) + theta`, theta = 1 - p.

    In terms of what is dropped, `p * (1 - exp(-gamma * step))`: 0 at first, p in the end. `gamma = 10 / T` comes
    within 5e-5 of it, relatively, at step T. Source: Morerio, Cavazza, Volpi, Vidal and Murino 2017.

    >>> hard = Curriculum(0.5, gamma=10 / 1000)
    >>> [round(hard(step), 3) for step in (0, 100, 500, 1000)]
    [0.0, 0.316, 0.497, 0.5]
    """

    p: float = _probability()
    gamma: float = _pace()

    def at(self, step: int) -> float:
        return -self.p * math.expm1(-self.gamma * step)


@dataclass(frozen=True)
class Product(Curve):
    """`first(step) * second(step)`, written `first * second`.

    >>> (WarmUp(1.0, steps=100) * EarlyDropout(0.5, steps=200))(50)
    0.1875
    """

    first: Curve
    second: Curve

    def at(self, step: int) -> float:
        return self.first(step) * self.second(step)


@dataclass(frozen=True)
class ByDepth(Curve):
    """The last block's p, which earlier blocks have in proportion to their depth: block l of L has `p(step) * l / L`.

    The linear decay of stochastic depth, at every step of a curve. `thinned.Schedule` counts the blocks; called by
    itself it is the last one's. Source: Huang, Sun, Liu, Sedra and Weinberger 2016, equation 4.

    >>> ByDepth(WarmUp(0.5, steps=4)).block(3, of=4)(2)
    0.1875
    """

    last: Curve | float

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", curve(self.last))

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
