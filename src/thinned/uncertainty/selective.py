"""Selective prediction: how sure a row must be for its class to be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import PROBABILITY, check
from .prediction import Prediction
from .scores import IGNORED, class_rows

# The thresholds that `delta` tests, chosen before any row is seen: finer towards 1, where confident networks are.
GRID = tuple(1.0 - 2.0 ** (-step / 4) for step in range(64))


@dataclass(frozen=True)
class Threshold:
    """The confidence from which on classes are believed. `threshold.keeps(prediction)` says of which rows."""

    threshold: float  # rows with `max_probability` of at least this are kept; inf where none may be
    remaining: int  # how many of the given rows are
    rows: int
    error: float  # the share of wrong ones among the kept rows; nan where none is kept
    max_error: float
    delta: float | None  # the probability that the bound does not hold; None where there is no bound

    @property
    def coverage(self) -> float:
        """The share of rows that are kept."""
        return self.remaining / self.rows

    def keeps(self, prediction: Prediction | Tensor) -> Tensor:
        """`(N, ...)` booleans: whether a row of a prediction is believed; or of its `max_probability`, a tensor."""
        sure = prediction.max_probability if isinstance(prediction, Prediction) else prediction
        return sure.double() >= self.threshold

    def __str__(self) -> str:
        if not self.remaining:
            return f"no threshold has an error of at most {self.max_error:g} on these {self.rows} rows"
        bound = "" if self.delta is None else f", at most {self.max_error:g} on new rows with {1 - self.delta:.4g}"
        return (
            f"keep rows from {self.threshold:.4g} on: {self.remaining} of {self.rows} ({100 * self.coverage:.1f} %), "
            f"error {self.error:.4f} on them{bound}"
        )


def threshold(
    prediction: Prediction | Tensor,
    target: Tensor,
    max_error: float = 0.05,
    *,
    delta: float | None = None,
    class_axis: int | None = None,
    ignore_index: int = IGNORED,
) -> Threshold:
    """The lowest confidence at which at most `max_error` of the kept rows are wrong, and how many rows it keeps.

    A row is kept if its `max_probability` reaches the threshold. The others are left to a person, or to another model.

    Without `delta`, the threshold is the best one for these very rows: it is chosen and measured on them, and on new
    rows the error is often larger. Measure it on other rows: `keeps = found.keeps(other)`, then the error of
    `other.label[keeps]`. With `delta`, the error on new rows from the same source is at most `max_error`, with a
    probability of `1 - delta` over the draw of these rows. This holds for any model and any
    distribution. It fails if new rows come from another source, or if rows are not independent: the tokens of one text
    are not.

    Arguments:
        prediction, target, class_axis, ignore_index: as in `class_scores`. Rows that trained or calibrated the model
            are of no use here.
        max_error: the largest share of wrong rows among those that are kept, in [0, 1].
        delta: the probability with which the bound may fail, such as 0.05; None for no bound.

    Returns: a `Threshold`. If no threshold will do, it is inf and keeps no row.

    Raises:
        ValueError: as `class_scores`.
        ValueError: `max_error` or `delta` is not in [0, 1].

    With `delta`, each of 64 thresholds that are fixed beforehand, `1 - 2^(-k/4)`, is tested by its exact binomial
    p-value, `P(Binomial(kept, max_error) <= wrong) <= delta / 64`, and the lowest one that passes is taken. Source:
    Geifman and El-Yaniv 2017; Angelopoulos et al. 2021, "Learn then Test".

    >>> sure = torch.tensor([0.99, 0.9, 0.8, 0.7, 0.6])
    >>> found = threshold(torch.stack((1 - sure, sure), 1), torch.tensor([1, 1, 1, 0, 1]), max_error=0.1)
    >>> round(found.threshold, 3), found.remaining, found.error
    (0.8, 3, 0.0)
    """
    check(PROBABILITY, "threshold", "max_error", max_error)
    if delta is not None:
        check(PROBABILITY, "threshold", "delta", delta)
    probability, target = class_rows("threshold", prediction, target, class_axis, ignore_index)
    sure, label = probability.max(1)
    wrong = label != target
    chosen = _lowest(sure, wrong, max_error) if delta is None else _bounded(sure.double(), wrong, max_error, delta)
    keeps = sure.double() >= chosen
    kept = int(keeps.sum())
    error = float(wrong[keeps].double().mean()) if kept else math.nan
    return Threshold(chosen, kept, len(sure), error, float(max_error), delta)


def _lowest(sure: Tensor, wrong: Tensor, max_error: float) -> float:
    """The lowest confidence of a row for which the error among the rows from there on is small enough; or inf."""
    order = sure.argsort(descending=True, stable=True)
    sure, risk = sure[order], wrong[order].double().cumsum(0)
    risk = risk / torch.arange(1, len(order) + 1, dtype=torch.float64, device="cpu")
    last = torch.ones_like(sure, dtype=torch.bool)  # of the rows that are equally sure, which are kept together
    last[:-1] = sure[1:] != sure[:-1]
    fits = sure[last & (risk <= max_error)]
    return float(fits.min()) if len(fits) else math.inf


def _bounded(sure: Tensor, wrong: Tensor, max_error: float, delta: float) -> float:
    """The lowest threshold of `GRID` whose error is not above `max_error`, by a test of each; or inf."""
    for level in GRID:
        keeps = sure >= level
        kept = int(keeps.sum())
        if kept and _at_most(int(wrong[keeps].sum()), kept, max_error) <= delta / len(GRID):
            return float(level)
    return math.inf


def _at_most(count: int, trials: int, p: float) -> float:
    """`P(Binomial(trials, p) <= count)`."""
    if p <= 0.0 or count >= trials:
        return 1.0
    if p >= 1.0:
        return 0.0
    number = torch.arange(count + 1, dtype=torch.float64, device="cpu")
    whole = torch.tensor(float(trials), dtype=torch.float64, device="cpu")
    ways = torch.lgamma(whole + 1) - torch.lgamma(number + 1) - torch.lgamma(whole - number + 1)
    return float((ways + number * math.log(p) + (trials - number) * math.log1p(-p)).logsumexp(0).exp())
