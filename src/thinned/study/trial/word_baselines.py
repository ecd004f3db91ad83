"""What needs no network for a next word: how often each word stands, and which word stands behind which.

Both count in the windows that the seed's networks learn from, and their weights have the least validation loss. The
bigram's probability of a word behind another is that of Jelinek and Mercer 1980, `a n(v, w) / n(v) + (1 - a) P(w)`,
where `P` is the unigram's, `(n(w) + 1) / (n + classes)`; behind a word that stands nowhere it is `P`.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from .baseline import Answers, BaselineName
from .fold import Fold

WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of the bigram's own counts


def word_baselines(fold: Fold) -> list[Answers]:
    """A unigram and a bigram model, which stand where a table has a constant and a linear model."""
    start = time.perf_counter()
    before, after = _pairs(fold)
    shares = (np.bincount(after, minlength=fold.outputs) + 1.0) / (len(after) + fold.outputs)
    unigram = _answers("constant", fold, np.broadcast_to(shares, (fold.outputs, fold.outputs)), {}, start)
    counts = np.zeros((fold.outputs, fold.outputs))
    np.add.at(counts, (before, after), 1.0)
    total = counts.sum(axis=1, keepdims=True)
    own = np.divide(counts, total, out=np.tile(shares, (fold.outputs, 1)), where=total > 0)
    tables = {weight: weight * own + (1 - weight) * shares for weight in WEIGHTS}
    last = _last(fold.x_val)
    weight = min(tables, key=lambda weight: -float(np.log(tables[weight][last, fold.y_val]).mean()))
    return [unigram, _answers("linear", fold, tables[weight], {"weight": weight}, start)]


def _pairs(fold: Fold) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The classes of each word of the training windows and of the one behind it."""
    words = fold.x_train.astype(np.int64) - 1
    return words.ravel(), np.hstack([words[:, 1:], fold.y_train[:, None].astype(np.int64)]).ravel()


def _last(x: NDArray[np.float32]) -> NDArray[np.int64]:
    return x[:, -1].astype(np.int64) - 1


def _answers(
    name: BaselineName, fold: Fold, table: NDArray[np.float64], settings: dict[str, float], start: float
) -> Answers:
    log = np.log(table).astype(np.float32)
    return Answers(name, log[_last(fold.x_val)], log[_last(fold.x_test)], settings, time.perf_counter() - start)
