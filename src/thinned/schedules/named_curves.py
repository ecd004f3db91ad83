"""The curves of the literature: linear, cosine, warm-up, early dropout, late dropout, curriculum dropout."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

from ..noise import Choice
from .curve import Curve, length, probability

SHAPE = Choice(("linear", "constant"))


@dataclass(frozen=True, slots=True)
class _Pace:
    """The rule for `gamma`: a finite number above 0."""

    text: str = "must be a finite number above 0"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return TypeError, "Pass a float."
        return None if 0.0 < value < math.inf else (ValueError, "10 / T comes within 5e-5 of the end at step T.")


def _pace() -> float:
    return cast(float, field(metadata={"rule": _Pace()}))


@dataclass(frozen=True)
class Linear(Curve):
    """From `start` to `end` in `steps` equal steps, and `end` after them: `start + (end - start) * step / steps`.

    >>> ramp = Linear(0.0, 0.5, steps=100)
    >>> ramp(0), ramp(50), ramp(100), ramp(1000)
    (0.0, 0.25, 0.5, 0.5)
    """

    start: float = probability()
    end: float = probability()
    steps: int = length()

    def at(self, step: int) -> float:
        share = min(step / self.steps, 1.0)
        return self.start * (1.0 - share) + self.end * share


@dataclass(frozen=True)
class Cosine(Curve):
    """From `start` to `end` along half a cosine wave: `end + (start - end) * (1 + cos(pi * step / steps)) / 2`.

    After `steps` steps it is `end`.

    >>> fall = Cosine(0.4, 0.0, steps=100)
    >>> [round(fall(step), 3) for step in (0, 25, 50, 75, 100)]
    [0.4, 0.341, 0.2, 0.059, 0.0]
    """

    start: float = probability()
    end: float = probability()
    steps: int = length()

    def at(self, step: int) -> float:
        share = (1.0 - math.cos(math.pi * min(step / self.steps, 1.0))) / 2.0
        return self.start * (1.0 - share) + self.end * share


@dataclass(frozen=True)
class WarmUp(Curve):
    """From 0 to `p` in `steps` equal steps, and `p` after them: the same as `Linear(0, p, steps)`.

    To begin another curve with a warm-up, multiply: `WarmUp(1.0, 100) * Cosine(0.4, 0.0, 1000)`.

    >>> WarmUp(0.5, steps=4)(1)
    0.125
    """

    p: float = probability()
    steps: int = length()

    def at(self, step: int) -> float:
        return self.p * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class EarlyDropout(Curve):
    """Dropout in the first `steps` steps only, against underfitting: `p * (1 - step / steps)`, and 0 after them.

    With `shape="constant"` it is `p` in all of the first `steps` steps.

    Source: Liu, Xu, Jin, Shen and Darrell 2023. Their default is a linear fall over the first 50 of 300 epochs. (Their
    code reaches 0 one step earlier.)

    >>> early = EarlyDropout(0.1, steps=1000)
    >>> early(0), early(500), early(1000), early(5000)
    (0.1, 0.05, 0.0, 0.0)
    """

    p: float = probability()
    steps: int = length()
    shape: str = field(default="linear", metadata={"rule": SHAPE})

    def at(self, step: int) -> float:
        if step >= self.steps:
            return 0.0
        return self.p * (1.0 - step / self.steps) if self.shape == "linear" else float(self.p)


@dataclass(frozen=True)
class LateDropout(Curve):
    """No dropout in the first `steps` steps, and `p` after them: first fit the data, then regularise.

    Source: Liu et al. 2023. They start dropout after 50 of 300 epochs.

    >>> late = LateDropout(0.4, steps=1000)
    >>> late(999), late(1000)
    (0.0, 0.4)
    """

    p: float = probability()
    steps: int = length()

    def at(self, step: int) -> float:
        return float(self.p) if step >= self.steps else 0.0


@dataclass(frozen=True)
class Curriculum(Curve):
    """From easy to hard: `p * (1 - exp(-gamma * step))`, which rises from 0 towards `p`.

    The paper gives the keep probability, `(1 - theta) exp(-gamma step) + theta` with theta = 1 - p. With
    `gamma = 10 / T` the relative distance to `p` at step T is below 5e-5.

    Source: Morerio, Cavazza, Volpi, Vidal and Murino 2017.

    >>> hard = Curriculum(0.5, gamma=10 / 1000)
    >>> [round(hard(step), 3) for step in (0, 100, 500, 1000)]
    [0.0, 0.316, 0.497, 0.5]
    """

    p: float = probability()
    gamma: float = _pace()

    def at(self, step: int) -> float:
        return -self.p * math.expm1(-self.gamma * step)
