"""How does p change over the steps of training? Curves: constant, linear, cosine, warm-up, early, late and others.

`thinned.Schedule` sets the p of a model by a curve. This package does not import torch.

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
