"""Points of figures from values over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..record import ChapterPoint, ChapterSeries, Estimate
from .interval import Values, over_seeds

BESIDE = 0.1  # of the distance of two names


def point(x: float, found: Estimate) -> ChapterPoint | None:
    """A point with its interval; None where the value is no number. Without an interval its ends are the value."""
    if not math.isfinite(found.value):
        return None
    low, high = (end if math.isfinite(end) else found.value for end in (found.low, found.high))
    return ChapterPoint(x=x, value=found.value, low=low, high=high)


def pairs(plain: tuple[str, Sequence[Estimate]], noisy: tuple[str, Sequence[Estimate]]) -> list[ChapterSeries]:
    """Two named series side by side, a value for each of the figure's names."""
    return [
        ChapterSeries(name=plain[0], role="plain", points=points({n - BESIDE: one for n, one in enumerate(plain[1])})),
        ChapterSeries(name=noisy[0], role="noisy", points=points({n + BESIDE: one for n, one in enumerate(noisy[1])})),
    ]


def pair(p: float, without: Sequence[Values], with_noise: Sequence[Values]) -> list[ChapterSeries]:
    """The arms without dropout and with it, a value for each of the figure's names, side by side."""
    return pairs(
        ("p = 0", [over_seeds(values) for values in without]),
        (f"p = {p:g}", [over_seeds(values) for values in with_noise]),
    )


def points(found: dict[float, Estimate]) -> list[ChapterPoint]:
    """Points in order of x, without those that are no numbers."""
    every = (point(x, one) for x, one in sorted(found.items()))
    return [one for one in every if one is not None]
