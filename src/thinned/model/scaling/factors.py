"""By what a dropout multiplies its input's mean, in training and at inference, and which bug wrong factors fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..watch.replay import Step

Z = 6.0  # standard errors that a factor must be off by: of 1e9 right places, two are reported
LEAST = 0.01  # and by this much relatively: less has no effect worth a report


@dataclass(frozen=True, slots=True)
class Scaling:
    """What was measured at one place."""

    step: Step  # the call that drew
    training: float  # mean of the output over that of the input, in training
    inference: float  # and at inference
    keep_share: float  # share of units kept in training
    error: float  # standard error of `training`
    runs: int

    @property
    def factor(self) -> float:
        """The mean in training over that at inference: 1 where the scaling is right."""
        return self.training / self.inference if self.inference else math.inf

    @property
    def right(self) -> bool:
        """Whether the measured means agree, by `Z` standard errors."""
        difference = abs(self.training - self.inference)
        return difference <= Z * self.error + LEAST * abs(self.inference)

    @property
    def cause(self) -> str:
        """What the two factors probably come from, most probable first."""
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
