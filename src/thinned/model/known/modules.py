"""Which modules drop, and which of their attributes hold p.

A module of torch or of thinned is known by its class. Other libraries copy one another's dropout classes by the dozen,
so theirs are known by the name of the class together with an attribute that holds p.
"""

from __future__ import annotations

import re

import torch

from ..._torch import DropoutNd

Module = torch.nn.Module

# Class names of dropouts outside torch: DropPath (timm, and some fifty copies in transformers), torchvision's
# StochasticDepth and DropBlock2d, a user's own Dropout.
_NAMES = re.compile(r"drop_?(out|path|block|connect|add)|stochastic_?depth", re.IGNORECASE)
_ATTRIBUTES = ("p", "drop_prob", "drop_rate", "dropout_prob", "dropout_p", "dropout", "rate", "prob", "keep_prob")
KEEPS = "keep_prob"  # the one of `_ATTRIBUTES` that holds the keep probability, 1 - p


def rate_attributes(module: Module) -> tuple[str, ...]:
    """The names of the attributes that hold a module's p; () for a module that is not known to drop.

    >>> rate_attributes(torch.nn.Dropout()), rate_attributes(torch.nn.LSTM(1, 1)), rate_attributes(torch.nn.ReLU())
    (('p',), ('dropout',), ())
    """
    if isinstance(module, DropoutNd):
        return ("p",)
    if isinstance(module, torch.nn.RNNBase):
        return tuple(name for name in ("dropout", "recurrent_dropout") if hasattr(module, name))
    if isinstance(module, torch.nn.MultiheadAttention):
        return ("dropout",)
    if hasattr(module, "_noises"):  # a layer of thinned.nn
        return ("p",)
    if _NAMES.search(type(module).__name__) and not any(True for _ in Module.parameters(module)):
        found = [name for name in _ATTRIBUTES if isinstance(module.__dict__.get(name), (int, float))]
        return (found[0],) if found else ()
    return ()


def rate_of(module: Module) -> float | None:
    """The p of a dropout module, or None for a module that is not known to drop."""
    found = rate_attributes(module)
    if not found:
        return None
    value = float(getattr(module, found[0]) or 0.0)
    return rest(value) if found[0] == KEEPS else value


def rest(value: float) -> float:
    """1 - value, rounded to 15 decimals: 0.2 for 0.8, where plain subtraction gives 0.19999999999999996."""
    return round(1.0 - value, 15)
