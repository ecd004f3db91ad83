"""What can decide between levels: each metric as values of rows, whose mean is the metric.

The scatter of these values over rows is the metric's own sampling scatter (influence values: Hampel 1974), so
`interval` serves a count of errors, an RMSE and an AUC alike.

What is no number is answered for: a row of logits with nan or infinity counts as sure of a wrong class, and a value
that is no number, or further off than `FURTHEST` standard deviations, as that far off. Log probabilities end at
-`SUREST`, the smallest float32, so that one row weighs at most 87.3 nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from ..record import Task
from .interval import Bounds

SUREST = float(-np.log(np.finfo(np.float32).tiny))
FURTHEST = 1e6

Rows = NDArray[np.float64]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """A figure of test rows, smaller is better.

    Arguments:
        name: its name after `--metric`.
        title: the same in words.
        unit: "%" (values are shares of 1), "nats a row", "" for a plain number, or "target" for the target's unit.
        highest: the largest value that a mean of rows can have, or infinity.
        by_class: whether classes weigh alike, however few rows they have.
        lowest: the least.
    """

    name: str
    task: Task
    title: str
    unit: str
    highest: float
    by_class: bool
    contributions: Callable[[Rows, NDArray[np.generic], float], Rows]
    lowest: float = 0.0

    def rows(self, output: NDArray[np.floating], y: NDArray[np.generic], scale: float = 1.0) -> Rows:
        """One value a row, all finite; their mean is the metric.

        Arguments:
            output: logits (rows, classes), or standardised values (rows, 1).
            y: class numbers, or standardised values.
            scale: target units a standard deviation.

        Raises ValueError for an AUC of rows that are all of one class.
        """
        return self.contributions(_finite(output, y) if self.task == "classification" else _near(output, y), y, scale)

    def bounds(self, y: NDArray[np.generic]) -> Bounds:
        """What `interval` may know about a mean of these rows."""
        return Bounds(self.lowest, self.highest, self._count(y))

    def difference_bounds(self, y: NDArray[np.generic]) -> Bounds:
        """What `interval` may know about a mean of paired differences of these rows."""
        return Bounds(-self.highest, self.highest, self._count(y))

    def _count(self, y: NDArray[np.generic]) -> float | None:
        """As many rows of a balanced set as say as much: C^2 / sum_c 1/n_c."""
        if not self.by_class:
            return None
        counts = np.unique(y, return_counts=True)[1]
        return float(len(counts) ** 2 / (1 / counts).sum())


def _finite(output: NDArray[np.floating], y: NDArray[np.generic]) -> Rows:
    logits = output.astype(np.float64)
    truth = y.astype(np.int64)
    top = logits.max(axis=1, keepdims=True)
    logits = np.where(np.isneginf(logits), top - SUREST, logits)  # a log probability of 0
    lost = ~np.isfinite(logits).all(axis=1)
    logits[lost] = 0.0
    logits[lost, truth[lost]] = -SUREST
    logits[lost, (truth[lost] + 1) % logits.shape[1]] = SUREST
    return logits


def _near(output: NDArray[np.floating], y: NDArray[np.generic]) -> Rows:
    off = output.astype(np.float64)[:, 0] - y.astype(np.float64)
    return np.asarray(np.clip(np.where(np.isfinite(off), off, FURTHEST), -FURTHEST, FURTHEST))


def _error(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    return np.asarray(logits.argmax(axis=1) != y, dtype=np.float64)


def _nll(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    return np.asarray(np.minimum(-log_softmax(logits, axis=1)[np.arange(len(y)), y.astype(np.int64)], SUREST))


def _perplexity(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    """exp of the mean NLL, P, by the delta method: `P + P (nll_i - mean)`."""
    nll = _nll(logits, y, 1.0)
    mean = float(nll.mean())
    return np.asarray(np.exp(mean) * (1 + nll - mean))


def _brier(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    """The sum over classes of squared errors of the probability, from 0 to 2 (Brier 1950)."""
    off = np.exp(log_softmax(logits, axis=1))
    off[np.arange(len(y)), y.astype(np.int64)] -= 1.0
    return np.asarray((off**2).sum(axis=1))


def _balanced(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    """The mean over classes of a class's error, e: `e + (error_i - e_c) n / (C n_c)` for a row of class c."""
    wrong = _error(logits, y, 1.0)
    classes, place = np.unique(y, return_inverse=True)
    counts = np.bincount(place)
    by_class = np.bincount(place, weights=wrong) / counts
    weights = len(y) / (len(classes) * counts)
    return np.asarray(by_class.mean() + (wrong - by_class[place]) * weights[place])


def _auc(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    """1 - AUC, by placement values (DeLong, DeLong and Clarke-Pearson 1988).

    More than two classes: the mean over the classes that have rows, each against the rest.
    """
    classes = np.unique(y).astype(np.int64)
    if len(classes) < 2:
        raise ValueError(f"`auc`: test rows must be of two classes at least. Got class {classes.tolist()} alone.")
    if logits.shape[1] == 2:
        return _one_auc(logits[:, 1] - logits[:, 0], y == 1)
    others = [np.delete(logits, c, axis=1) for c in classes]
    scores = [logits[:, c] - logsumexp(rest, axis=1) for c, rest in zip(classes, others, strict=True)]
    return np.asarray(np.mean([_one_auc(score, y == c) for c, score in zip(classes, scores, strict=True)], axis=0))


def _one_auc(score: Rows, positive: NDArray[np.bool_]) -> Rows:
    """A placement is the share of the other class that stands on the wrong side, ties counted half."""
    from scipy.stats import rankdata

    rank, place = rankdata(score), np.empty(len(score))
    counts = {True: int(positive.sum()), False: int((~positive).sum())}
    place[positive] = 1 - (rank[positive] - rankdata(score[positive])) / counts[False]
    place[~positive] = (rank[~positive] - rankdata(score[~positive])) / counts[True]
    lost = float(place[positive].mean())
    return np.asarray(lost + (place - lost) * len(score) / np.where(positive, counts[True], counts[False]))


def _f1(logits: Rows, y: NDArray[np.generic], _: float) -> Rows:
    """1 - macro F1, by the delta method.

    A class c has `F = 2 tp / (p + t)`: tp rows rightly called c, p called c, t of class c, as shares. A row moves it by
    `(2 tp_i - F (p_i + t_i)) / (p + t)`. The mean is over the classes that have rows.
    """
    called = logits.argmax(axis=1)
    values = []
    for c in np.unique(y):
        hit, either = ((called == c) & (y == c)).astype(np.float64), (called == c) * 1.0 + (y == c)
        score = 2 * hit.mean() / either.mean()
        values.append(1 - score - (2 * hit - score * either) / either.mean())
    return np.asarray(np.mean(values, axis=0))


def _rmse(off: Rows, _: NDArray[np.generic], scale: float) -> Rows:
    """`r + (e^2 - r^2) / (2 r)` with r the RMSE (delta method)."""
    squares = (off * scale) ** 2
    root = float(squares.mean()) ** 0.5
    return np.asarray(root + (squares - root**2) / (2 * root) if root else squares)


def _mae(off: Rows, _: NDArray[np.generic], scale: float) -> Rows:
    return np.asarray(np.abs(off) * scale)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("error", "classification", "test error", "%", 1.0, False, _error),
        Metric("nll", "classification", "negative log-likelihood", "nats a row", np.inf, False, _nll),
        Metric("brier", "classification", "Brier score", "", 2.0, False, _brier),
        Metric("balanced-error", "classification", "balanced error", "%", 1.0, True, _balanced),
        Metric("auc", "classification", "1 - AUC", "%", 1.0, True, _auc),
        Metric("f1", "classification", "1 - F1", "%", 1.0, True, _f1),
        Metric("perplexity", "classification", "test perplexity", "", np.inf, False, _perplexity, lowest=1.0),
        Metric("rmse", "regression", "RMSE", "target", np.inf, False, _rmse),
        Metric("mae", "regression", "mean absolute error", "target", np.inf, False, _mae),
    )
}
"""The metrics of `--metric`; the first of a task is its default."""
