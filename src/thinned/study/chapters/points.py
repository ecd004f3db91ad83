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


def pair(p: float, without: Sequence[Values], with_noise: Sequence[Values]) -> list[ChapterSeries]:
    """The arms without dropout and with it, a value for each of the figure's names, side by side."""
    plain = {n - BESIDE: over_seeds(values) for n, values in enumerate(without)}
    noisy = {n + BESIDE: over_seeds(values) for n, values in enumerate(with_noise)}
    return [
        ChapterSeries(name="p = 0", role="plain", points=points(plain)),
        ChapterSeries(name=f"p = {p:g}", role="noisy", points=points(noisy)),
    ]


def points(found: dict[float, Estimate]) -> list[ChapterPoint]:
    """Points in order of x, without those that are no numbers."""
    every = (point(x, one) for x, one in sorted(found.items()))
    return [one for one in every if one is not None]
