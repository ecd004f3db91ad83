"""Points of figures from values over seeds."""

from __future__ import annotations

import math

from ..record import ChapterPoint, Estimate


def point(x: float, found: Estimate) -> ChapterPoint | None:
    """A point with its interval; None where the value is no number. Without an interval its ends are the value."""
    if not math.isfinite(found.value):
        return None
    low, high = (end if math.isfinite(end) else found.value for end in (found.low, found.high))
    return ChapterPoint(x=x, value=found.value, low=low, high=high)


def points(found: dict[float, Estimate]) -> list[ChapterPoint]:
    """Points in order of x, without those that are no numbers."""
    every = (point(x, one) for x, one in sorted(found.items()))
    return [one for one in every if one is not None]
