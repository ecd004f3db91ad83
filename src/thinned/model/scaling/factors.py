"""The factors by which a dropout multiplies the mean of its input, and the bug that wrong factors point to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..watch.replay import Step

# The scaling is wrong if the two factors differ by more than Z standard errors plus the relative difference LEAST. With
# Z = 6, chance alone reports two of 1e9 correct places. A difference below LEAST has no effect that is worth a report.
Z = 6.0
LEAST = 0.01


@dataclass(frozen=True, slots=True)
class Scaling:
    """The measured scaling of one place.

    Example, for p = 0.2 and forgotten scaling: `training` is 0.8, `inference` is 1 and `keep_share` is 0.8.
    """

    step: Step  # the call that drew
    training: float  # the output's mean over the input's mean, in training
    inference: float  # the same ratio at inference
    keep_share: float  # the fraction of units that are not 0 in training
    error: float  # standard error of `training`
    runs: int  # how many runs in training were averaged

    @property
    def factor(self) -> float:
        """`training / inference`: 1 if the scaling is right."""
        return self.training / self.inference if self.inference else math.inf

    @property
    def right(self) -> bool:
        """Whether the two factors agree within `Z` standard errors and the relative error `LEAST`."""
        difference = abs(self.training - self.inference)
        return difference <= Z * self.error + LEAST * abs(self.inference)

    @property
    def cause(self) -> str:
        """The most probable cause of the two factors: the first bug in the order below that they fit."""
        q, p = self.keep_share, 1.0 - self.keep_share
        survivors = self.training / q

        def near(value: float, other: float) -> bool:
            return abs(value - other) <= 0.03 * max(abs(other), 0.05) + Z * self.error / q

        if near(survivors, 1.0):
            if near(self.inference, 1.0):
                return "scaling forgotten: divide by 1 - p in training"
            if near(self.inference, p):
                return "inference multiplies by the drop probability p: it must be by 1 - p"
            if near(self.inference, 1.0 / q):
                return "the wrong way round: inference divides by 1 - p, and must multiply"
            if near(self.inference, q * q):
                return "scaled twice: inference multiplies by (1 - p) squared"
        if near(survivors, 1.0 / q) and near(self.inference, q):
            return "scaled twice: training divides by 1 - p already, so inference must not multiply by it"
        if near(self.inference, 1.0):
            if near(survivors, 1.0 / p):
                return "keep and drop probability mixed up: survivors are divided by the share of dropped units"
            if near(survivors, 1.0 / (q * q)):
                return "scaled twice: training divides by 1 - p two times"
            if near(survivors, q):
                return "the wrong way round: training multiplies by 1 - p, and must divide"
            if near(survivors, p):
                return "keep and drop probability mixed up, the wrong way round: training multiplies by p"
        return "in training the survivors must be divided by 1 - p, and inference must leave them alone"
