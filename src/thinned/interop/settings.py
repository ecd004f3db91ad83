"""The estimators' arguments, checked when they are used: scikit-learn wants constructors that only store them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..fit.loop import batch_size
from ..noise import PROBABILITY, ArgumentRule, Choice, Integer, check

METHOD = Choice(("monte_carlo", "weight_scaling"))
COUNT = Integer(1, 2**63 - 1, "[1, 2**63)")


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number above a bound, or from it on, and below another."""

    text: str
    default: float
    low: float
    strict: bool  # whether the lower bound itself is out
    high: float = math.inf  # which is out

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return TypeError, "Pass a float."
        number = float(value)
        if self.low <= number < self.high and not (self.strict and number == self.low):
            return None
        return ValueError, f"The default is {self.default:g}."


LR = Number("must be a finite number above 0", 1e-3, 0.0, True)
WEIGHT_DECAY = Number("must be a finite number, 0 or more", 1e-2, 0.0, False)
FRACTION = Number("must be a number in (0, 1)", 0.15, 0.0, True, 1.0)


@dataclass(frozen=True)
class EstimatorSettings:
    """An estimator's arguments, as training and prediction want them."""

    owner: str
    hidden: tuple[int, ...]
    batch_size: int | None
    weight_scaling: bool

    def batch(self, rows: int) -> int:
        """Rows a batch: as told, or about twenty batches an epoch."""
        return self.batch_size or batch_size(rows)


def settings(estimator: Any) -> EstimatorSettings:
    """Check all arguments, in the house's wording. Raises ValueError or TypeError."""
    owner = type(estimator).__name__
    rules: dict[str, ArgumentRule] = {
        "p": PROBABILITY,
        "p_input": PROBABILITY,
        "lr": LR,
        "weight_decay": WEIGHT_DECAY,
        "max_epochs": COUNT,
        "validation_fraction": FRACTION,
        "patience": COUNT,
        "n_samples": COUNT,
        "method": METHOD,
    }
    for argument, rule in rules.items():
        check(rule, owner, argument, getattr(estimator, argument))
    batch = estimator.batch_size
    if batch != "auto":
        check(COUNT, owner, "batch_size", batch)
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, numbers.Integral):
        sizes = (sizes,)
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise TypeError(
            f"`{owner}`: `hidden_layer_sizes` must be a sequence of numbers of units. Got {sizes!r}. Pass (128, 128)."
        )
    for size in sizes:
        check(COUNT, owner, "hidden_layer_sizes", size)
    return EstimatorSettings(
        owner=owner,
        hidden=tuple(int(size) for size in sizes),
        batch_size=None if batch == "auto" else int(batch),
        weight_scaling=estimator.method == "weight_scaling",
    )
