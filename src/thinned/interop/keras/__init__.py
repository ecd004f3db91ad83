"""Keras 3's dropout layers with the noise of the contract: the same masks on TensorFlow, JAX and torch.

    from thinned.interop.keras import Dropout  # in place of keras.layers.Dropout

`rate` here is p everywhere else: the probability that a unit is dropped.
"""

from .drop_connect import DropConnect
from .dropout_layers import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    LockedDropout,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    StochasticDepth,
)
from .functions import as_number, bernoulli, dropout, fold_in
from .monte_carlo import MonteCarlo, predict

__all__ = [
    "AlphaDropout",
    "DropConnect",
    "Dropout",
    "GaussianDropout",
    "LockedDropout",
    "MonteCarlo",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StochasticDepth",
    "as_number",
    "bernoulli",
    "dropout",
    "fold_in",
    "predict",
]
