"""Where noise sits: one file a site, each with its functions and modules."""

from . import functional
from .activation import Dropout, GaussianDropout
from .channel import (
    Dropout1d,
    Dropout2d,
    Dropout3d,
    SpatialDropout1d,
    SpatialDropout2d,
    SpatialDropout3d,
)
from .residual import DropPath, StochasticDepth, linear_decay
from .selu import AlphaDropout, FeatureAlphaDropout

__all__ = [
    "AlphaDropout",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "GaussianDropout",
    "SpatialDropout1d",
    "SpatialDropout2d",
    "SpatialDropout3d",
    "StochasticDepth",
    "functional",
    "linear_decay",
]
