"""An image as a grid of patches, which stand for features: a pixel alone says next to nothing."""

from __future__ import annotations

import math

PATCHES = 7  # an image is cut in so many rows and columns of patches


def patches(inputs: int) -> list[int]:
    """The patch of each pixel of a square image; each pixel by itself where an image is not square.

    >>> patches(196)[:4], max(patches(196))
    ([0, 0, 1, 1], 48)
    """
    side = math.isqrt(inputs)
    if side * side != inputs or side < PATCHES:
        return list(range(inputs))
    places = [n * PATCHES // side for n in range(side)]
    return [PATCHES * row + column for row in places for column in places]
