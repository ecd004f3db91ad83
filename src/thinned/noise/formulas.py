"""What a drop probability stands for in each variant: formulas, in numbers without tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

from .argument import Choice
from .law import realised, scale, threshold

# -lambda * alpha of SELU (Klambauer et al. 2017).
SELU_SATURATION = -1.7580993408473766


def alpha_affine(p: float) -> tuple[float, float]:
    """Alpha dropout's pair `(a, b)`: `a = (q + s^2 q p)^(-1/2)`, `b = -a p s`, for the realised p; zeros at p = 1.

    >>> [round(value, 4) for value in alpha_affine(0.5)]
    [0.8864, 0.7792]
    """
    if p == 1:
        return 0.0, 0.0
    dropped = realised(p)
    kept = 1.0 - dropped
    a = (kept + SELU_SATURATION**2 * kept * dropped) ** -0.5
    return a, -a * dropped * SELU_SATURATION


def deviation(p: float) -> float:
    """Gaussian dropout's sqrt(p / q); infinite at p = 1, which `thinned::gaussian` takes for zeros."""
    return math.sqrt(p / (1.0 - p)) if p < 1 else math.inf


def _alpha(p: float) -> tuple[float, ...]:
    a, b = alpha_affine(p)
    return threshold(p), a, b, a * SELU_SATURATION + b


LAW = Choice(("inverted", "classic", "alpha"))
_FORMULAS: dict[str, Callable[[float], tuple[float, ...]]] = {
    "inverted": lambda p: (threshold(p), scale(p), 0.0, 0.0),
    "classic": lambda p: (threshold(p), 1.0, 0.0, 0.0),
    "alpha": _alpha,
    "deviation": lambda p: (deviation(p),),
    "realised": lambda p: (realised(p),),
}


def numbers(formula: str, p: float) -> tuple[float, ...]:
    """What `p` stands for. Of a law: the threshold below which a unit is dropped, what survivors are multiplied by,
    what is added to them, and what dropped units become.

    >>> numbers("inverted", 0.5)
    (32768, 2.0, 0.0, 0.0)
    >>> numbers("realised", 0.001)
    (0.001007080078125,)
    """
    return _FORMULAS[formula](p)
