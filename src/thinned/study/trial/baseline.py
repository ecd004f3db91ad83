"""What needs no network, on the networks' own rows: a constant, a linear model, boosted trees.

Each is tuned on validation rows, as the networks are, and answers in the networks' form, so that every metric is
computed alike. One thread, fixed seeds: equal folds give equal answers. The process that fits loads scikit-learn's
models, 1 s.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..data.words import bag_of_numbers
from .fold import Fold

BaselineName = Literal["constant", "linear", "tree"]
STRENGTHS = tuple(10.0**power for power in range(-3, 4))  # LogisticRegression's C, Ridge's alpha
LINEAR_STEPS = 1000  # of L-BFGS
SOUGHT = ("learning_rate", "max_leaf_nodes", "min_samples_leaf")  # of trees, beside the rounds of boosting
RATES, LEAVES = (0.05, 0.15), (8, 31)
LEAF_ROWS = (20, 5)  # the fewest rows in a leaf: scikit-learn's, and for tables of few rows another
FEW = 2000  # training rows, below which it matters: of 170, 20 a leaf leave no tree to speak of
STRIDE, PATIENCE, MAX_TREES = 20, 40, 400  # rounds of boosting: between looks, without gain, at most
WIDE = 2000  # inputs times classes: from here on trees take minutes, and one lighter setting is tried
WIDE_BINS, WIDE_PATIENCE, WIDE_TREES = 16, 20, 60
_LIMITS = (STRIDE, PATIENCE, MAX_TREES, WIDE, WIDE_BINS, WIDE_PATIENCE, WIDE_TREES)
TREES = repr((RATES, LEAVES, LEAF_ROWS, FEW, *_LIMITS))  # what a record of trees was made by
FLOOR = 1e-7  # the least probability that an answer gives

Outputs = NDArray[np.float32]
Answer = Callable[[NDArray[np.float32]], NDArray[np.float64]]  # inputs to log probabilities or values


@dataclass(frozen=True)
class Answers:
    """What a baseline answers to a fold's validation and test rows, in the order of the rows.

    Log probabilities `(rows, classes)`, or `(rows, 1)` values in standardised units, float32, as a network's raw
    answers. `settings` are what validation rows chose, by scikit-learn's names.
    """

    name: BaselineName
    val_output: Outputs
    test_output: Outputs
    settings: dict[str, float]
    seconds: float  # with the tuning


def baselines(fold: Fold, like: Answers | None = None) -> list[Answers]:
    """All three; `like` as in `tree`. Words in their order are a bag of words here."""
    fold = _without_order(fold)
    return [constant(fold), linear(fold), tree(fold, like)]


def _without_order(fold: Fold) -> Fold:
    if not fold.words:
        return fold
    cut = fold.x_train.shape[1] - fold.length
    x_train, x_val, x_test = (
        np.hstack([x[:, :cut], bag_of_numbers(x[:, cut:], fold.words)]) for x in (fold.x_train, fold.x_val, fold.x_test)
    )
    return replace(fold, x_train=x_train, x_val=x_val, x_test=x_test, words=0, length=0)


def constant(fold: Fold) -> Answers:
    """The training rows' class shares, or their mean, for every row."""
    start = time.perf_counter()
    if fold.outputs:
        shares = np.bincount(fold.y_train, minlength=fold.outputs)[None] / len(fold.y_train)
        level = _log(shares, np.arange(fold.outputs), fold.outputs)[0]
    else:
        level = np.array([fold.y_train.mean(dtype=np.float64)])
    return _answers("constant", fold, lambda x: np.tile(level, (len(x), 1)), {}, start)


def linear(fold: Fold) -> Answers:
    """Logistic regression, or ridge regression; its penalty has the least validation loss of seven.

    The loss is the negative log-likelihood, or the squared error; on a tie the stronger penalty is taken.
    """
    if _single(fold):
        return _same(fold, "linear")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    start = time.perf_counter()
    found: list[tuple[float, dict[str, float], Answer]] = []
    x = fold.x_train.astype(np.float64)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in STRENGTHS if fold.outputs else STRENGTHS[::-1]:
            model: Any
            if fold.outputs:
                settings = {"C": strength}
                model = LogisticRegression(C=strength, max_iter=LINEAR_STEPS).fit(x, fold.y_train)
            else:
                settings = {"alpha": strength}
                model = Ridge(alpha=strength).fit(x, fold.y_train)
            answer = _linear_answer(model, fold.outputs)
            found.append((_loss(answer(fold.x_val), fold), settings, answer))
        _, settings, answer = min(found, key=lambda one: one[0])
        return _answers("linear", fold, answer, settings, start)


def tree(fold: Fold, like: Answers | None = None) -> Answers:
    """Boosted trees (`HistGradientBoosting*`): learning rate, leaves and rounds have the least validation loss.

    Two rates and two sizes of trees, and below 2,000 training rows at least 20 or 5 rows in a leaf; rounds go on until
    40 have brought nothing, 400 at most. Where inputs times classes exceed 2,000 (images), it is one rate (0.15), 8
    leaves, 16 bins an input and 40 rounds at most.

    Arguments:
        like: boosted trees of another seed of the same outer fold, whose rate and leaves are taken: an eighth or a
            quarter of the time. Rounds are chosen anew.
    """
    if _single(fold):
        return _same(fold, "tree")
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if fold.outputs else HistGradientBoostingRegressor
    start = time.perf_counter()
    wide = fold.x_train.shape[1] * max(fold.outputs, 1) > WIDE
    leaf_rows = LEAF_ROWS if len(fold.y_train) < FEW else LEAF_ROWS[:1]
    values = [(RATES[-1], LEAVES[0], LEAF_ROWS[0])] if wide else product(RATES, LEAVES, leaf_rows)
    grid: list[dict[str, float]] = [dict(zip(SOUGHT, found, strict=True)) for found in values]
    if like is not None and like.settings:
        grid = [{name: like.settings[name] for name in SOUGHT}]
    best: tuple[float, dict[str, float], Any] | None = None
    with threadpool_limits(1):
        for settings in grid:
            model = _boosted(kind, fold, settings, wide)
            losses = [_loss(output, fold) for output in _staged(model, fold.x_val, fold.outputs)]
            rounds = int(np.argmin(losses)) + 1
            if best is None or losses[rounds - 1] < best[0]:
                best = losses[rounds - 1], settings | {"max_iter": rounds}, model
        assert best is not None
        _, settings, model = best
        last = int(settings["max_iter"]) - 1

        def answer(x: NDArray[np.float32]) -> NDArray[np.float64]:
            return next(islice(_staged(model, x, fold.outputs), last, None))

        return _answers("tree", fold, answer, settings, start)


def _boosted(kind: Any, fold: Fold, settings: Mapping[str, float], wide: bool) -> Any:
    """Trees in strides, until validation loss falls no more."""
    most, patience, bins = (WIDE_TREES, WIDE_PATIENCE, WIDE_BINS) if wide else (MAX_TREES, PATIENCE, 255)
    model = kind(max_bins=bins, early_stopping=False, warm_start=True, random_state=0, **settings)
    least, since = np.inf, 0
    for rounds in range(STRIDE, most + 1, STRIDE):
        model.set_params(max_iter=rounds).fit(fold.x_train, fold.y_train)
        if fold.outputs:
            output = _log(model.predict_proba(fold.x_val), model.classes_, fold.outputs)
        else:
            output = model.predict(fold.x_val)[:, None]
        loss = _loss(output, fold)
        least, since = (loss, 0) if loss < least else (least, since + STRIDE)
        if since >= patience:
            break
    return model


def _staged(model: Any, x: NDArray[np.float32], outputs: int) -> Iterator[NDArray[np.float64]]:
    """Answers after one round, two, and so on."""
    if outputs:
        for shares in model.staged_predict_proba(x):
            yield _log(shares, model.classes_, outputs)
    else:
        for values in model.staged_predict(x):
            yield values[:, None]


def _linear_answer(model: Any, outputs: int) -> Answer:
    if not outputs:
        return lambda x: np.asarray(model.predict(x.astype(np.float64)))[:, None]
    return lambda x: _log(model.predict_proba(x.astype(np.float64)), model.classes_, outputs)


def _log(shares: NDArray[np.float64], classes: NDArray[np.int64], outputs: int) -> NDArray[np.float64]:
    """Log probabilities of all classes, those that training rows lack included; none is below log 1e-7."""
    full = np.zeros((len(shares), outputs))
    full[:, classes] = shares
    full = np.maximum(full, FLOOR)
    return np.asarray(np.log(full / full.sum(axis=1, keepdims=True)))


def _loss(output: NDArray[np.float64], fold: Fold) -> float:
    """Negative log-likelihood a validation row, or mean squared error."""
    if fold.outputs:
        return -float(output[np.arange(len(output)), fold.y_val].mean())
    return float(np.square(output[:, 0] - fold.y_val).mean())


def _single(fold: Fold) -> bool:
    """Whether training rows have one class only, which classifiers refuse."""
    return bool(fold.outputs) and len(np.unique(fold.y_train)) == 1


def _same(fold: Fold, name: BaselineName) -> Answers:
    found = constant(fold)
    return Answers(name, found.val_output, found.test_output, {}, found.seconds)


def _answers(name: BaselineName, fold: Fold, answer: Answer, settings: dict[str, float], start: float) -> Answers:
    val, test = (answer(x).astype(np.float32) for x in (fold.x_val, fold.x_test))
    return Answers(name, val, test, settings, time.perf_counter() - start)
