"""Networks together: their mean, judged where none of them has learnt, and what it takes to trust it.

A row of the data is a validation row for some seeds. The mean over these seeds' networks is an answer to the row by
networks that were not fitted to it: the row's out-of-fold answer. One temperature and the interval of a new value come
from these answers alone; test rows take no part.

For classes the mean is that of probabilities, and one temperature is applied to it afterwards:
`p ~ (1/M sum_m softmax(z_m))^(1/T)`, since a mean of calibrated members is not sure enough (Rahaman and Thiery 2021).
Fitting, `StudyModel.predict_proba` and the report all do just this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from ..trial.fold import Fold
from . import temperature as scaling

Values = NDArray[np.float64]


@dataclass(frozen=True)
class SeedNetwork:
    """One seed's network: the rows that it had, and its raw answers to validation and test rows, as in `Outcome`."""

    fold: Fold
    val_output: NDArray[np.float32]
    test_output: NDArray[np.float32]


@dataclass(frozen=True)
class OutOfFold:
    """Answers to the rows that were a validation row of some member.

    `output` is the logarithm of the mean probability `(rows, classes)`, or the mean value `(rows,)` in the target's
    units. `y` is the class number, or the target. `members` is how many answers each mean is of.
    """

    rows: NDArray[np.int64]
    output: Values
    y: NDArray[np.int64] | Values
    members: NDArray[np.int64]


def together(outputs: Sequence[NDArray[np.floating]]) -> Values:
    """The members' mean for the same rows.

    Arguments:
        outputs: each member's logits `(rows, classes)`, or values in the target's units `(rows,)`.

    Returns the logarithm of the mean probability, or the mean value.
    """
    stacked = np.stack([np.asarray(output, dtype=np.float64) for output in outputs])
    if stacked.ndim == 2:
        return np.asarray(stacked.mean(axis=0))
    return np.asarray(logsumexp(log_softmax(stacked, axis=2), axis=0) - math.log(len(stacked)))


def probabilities(log_mean: Values, temperature: float = 1.0) -> Values:
    """Class probabilities from the logarithm of their mean, with a temperature: `softmax(log_mean / T)`."""
    return np.asarray(np.exp(log_softmax(log_mean / temperature, axis=1)))


def out_of_fold(members: Sequence[SeedNetwork]) -> OutOfFold:
    """For each row that was a validation row, the mean over the members that had it as one."""
    all_rows = np.concatenate([member.fold.val_rows for member in members])
    answers = np.concatenate([_in_units(member.val_output, member.fold) for member in members])
    targets = np.concatenate([_targets(member.fold.y_val, member.fold) for member in members])
    rows, first, place, count = np.unique(all_rows, return_index=True, return_inverse=True, return_counts=True)
    y = targets[first]
    if not members[0].fold.outputs:
        return OutOfFold(rows, np.bincount(place, weights=answers) / count, y, count)
    logs = log_softmax(answers, axis=1)
    top = np.full((len(rows), answers.shape[1]), -np.inf)
    np.maximum.at(top, place, logs)
    total = np.zeros_like(top)
    np.add.at(total, place, np.exp(logs - top[place]))
    return OutOfFold(rows, np.log(total / count[:, None]) + top, y.astype(np.int64), count)


def temperature_of(members: Sequence[SeedNetwork]) -> float:
    """The one temperature of the members' mean, fitted on out-of-fold answers; 1 for numbers."""
    if not members[0].fold.outputs:
        return 1.0
    found = out_of_fold(members)
    return float(scaling.fit(found.output, found.y.astype(np.int64)))


def residuals_of(members: Sequence[SeedNetwork]) -> Values:
    """Target minus out-of-fold answer, in the target's units, in ascending order; none for classes."""
    if members[0].fold.outputs:
        return np.zeros(0)
    found = out_of_fold(members)
    return np.sort(found.y - found.output)


def offsets(residuals: Values, level: float = 0.95) -> tuple[float, float]:
    """What is added to the members' mean for an interval that holds a new value with probability `level`.

    With n residuals in ascending order and `k = floor((n + 1) (1 - level) / 2)`, the k-th and the (n + 1 - k)-th: where
    the new value's residual is exchangeable with these, its rank among all n + 1 is uniform, so that the interval holds
    it with probability `level` or more. Infinite where n is too small for this: below 39 for 95 %.

    The members of a row's answer are those that did not learn from it, fewer than all; the mean of all errs less, so
    that the interval errs on the wide side. The probability is over rows: where the noise differs from place to place,
    the interval is too wide in one and too narrow in another. Source: Kim, Xu and Barber 2020 (jackknife after
    bootstrap) and Barber et al. 2021 (CV+), with the mean of all members in place of a member set a row.
    """
    count = len(residuals)
    rank = math.floor(round((count + 1) * (1.0 - level) / 2.0, 9))
    if rank < 1:
        return -math.inf, math.inf
    return float(residuals[rank - 1]), float(residuals[count - rank])


def combined(members: Sequence[SeedNetwork], temperature: float = 1.0) -> tuple[float, float]:
    """Error and NLL of the members' mean on test rows, which must be the same for all.

    The error is the misclassified share, or the root mean squared error in the target's units. The NLL is in nats a
    row: with the temperature for classes; for numbers, of a normal law whose variance is the mean square of the
    out-of-fold residuals.
    """
    first = members[0].fold
    if any(not np.array_equal(member.fold.test_rows, first.test_rows) for member in members):
        raise ValueError(
            "`combined`: `members` must have the same test rows. Got others. Pass those of one outer split."
        )
    mean = together([_in_units(member.test_output, member.fold) for member in members])
    y = _targets(first.y_test, first)
    if first.outputs:
        log_probability = log_softmax(mean / temperature, axis=1)
        classes = y.astype(np.int64)
        error = float((mean.argmax(axis=1) != classes).mean())
        return error, float(-log_probability[np.arange(len(classes)), classes].mean())
    squares = (y - mean) ** 2
    variance = float((residuals_of(members) ** 2).mean())
    nll = float(squares.mean()) / (2 * variance) + math.log(2 * math.pi * variance) / 2 if variance else math.inf
    return float(squares.mean()) ** 0.5, nll


def _in_units(output: NDArray[np.float32], fold: Fold) -> Values:
    """Logits as they are; standardised values `(rows, 1)` as `(rows,)` in the target's units."""
    values = np.asarray(output, dtype=np.float64)
    return values if fold.outputs else values[:, 0] * fold.scale + fold.mean


def _targets(y: NDArray[np.int64] | NDArray[np.float32], fold: Fold) -> Values:
    return y.astype(np.float64) if fold.outputs else y.astype(np.float64) * fold.scale + fold.mean
