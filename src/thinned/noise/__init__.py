"""What the noise is: a pure function of (key, position). NumPy only."""

from .argument import AXES, DEVIATION, PROBABILITY, SCALING, UINT64, ArgumentRule, Choice, Integer, check
from .array import drop
from .law import VERSION, bernoulli, normal, realised, scale, threshold, uniform
from .part import Part, Rows, locate
from .philox import fold_in, philox
from .place import Placement, place, shared_axes

Rule = ArgumentRule  # its older name, by which it can still be imported

__all__ = [
    "AXES",
    "DEVIATION",
    "PROBABILITY",
    "SCALING",
    "UINT64",
    "VERSION",
    "ArgumentRule",
    "Choice",
    "Integer",
    "Part",
    "Placement",
    "Rows",
    "bernoulli",
    "check",
    "drop",
    "fold_in",
    "locate",
    "normal",
    "philox",
    "place",
    "realised",
    "scale",
    "shared_axes",
    "threshold",
    "uniform",
]
