"""HOW p moves over steps: constant, linear, cosine, warm-up, early, late, curriculum, by depth, and their products.

`thinned.Schedule` sets a model's p by them. Imports no torch.

>>> from thinned.schedules import Cosine, WarmUp
>>> p = WarmUp(1.0, steps=100) * Cosine(0.4, 0.0, steps=1000)
>>> [round(p(step), 4) for step in (0, 50, 100, 500, 1000)]
[0.0, 0.1988, 0.3902, 0.2, 0.0]
"""

from .curve import ByDepth, Constant, Curve, Product
from .named_curves import Cosine, Curriculum, EarlyDropout, LateDropout, Linear, WarmUp

__all__ = [
    "ByDepth",
    "Constant",
    "Cosine",
    "Curriculum",
    "Curve",
    "EarlyDropout",
    "LateDropout",
    "Linear",
    "Product",
    "WarmUp",
]
