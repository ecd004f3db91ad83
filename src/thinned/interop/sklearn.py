"""scikit-learn estimators: a multilayer perceptron with dropout that says how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

try:
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.multiclass import check_classification_targets
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "`thinned.interop.sklearn` needs scikit-learn, which is not installed. Run pip install 'thinned[study]'."
    ) from error

from ..uncertainty.prediction import Prediction
from .estimator import DropoutEstimator
from .finite import check_finite, check_kinds
from .held_out import width
from .weights import arranged, row_weights

__all__ = ["DropoutClassifier", "DropoutRegressor"]

_WIDTH_ROWS = 10_000  # that `noise_std_` is fitted on, at most


class DropoutClassifier(ClassifierMixin, DropoutEstimator):  # type: ignore[misc]
    """A multilayer perceptron with dropout, whose probabilities are the mean over thinned networks.

    Linear, ReLU, dropout for each hidden layer; trained by AdamW on the cross-entropy, with a learning rate that rises
    for a twentieth of `max_epochs` and falls to 0. Inputs are standardised inside.

    Arguments:
        hidden_layer_sizes: units a hidden layer.
        p: the probability that a hidden unit is dropped. At 0 (and p_input 0) there is one network, and no spread.
        p_input: the probability that an input is dropped.
        class_weight: a mapping from classes to weights of their rows, or "balanced": classes count alike.
        lr: the highest learning rate.
        weight_decay: decoupled, of weights only.
        batch_size: "auto" is a twentieth of the training rows, between 16 and 128.
        max_epochs: of training, and how long the learning rate takes to fall.
        early_stopping: hold rows out, stop when their loss has not fallen for `patience` epochs, and take the weights
            of the best epoch. Without it all rows train, for `max_epochs`.
        validation_fraction: the share of rows held out, of each class.
        patience: epochs.
        n_samples: thinned networks that a prediction averages. May be changed after fitting.
        method: "monte_carlo", or "weight_scaling": one forward pass with dropout off, which is faster and surer.
        random_state: an integer makes fit and predictions repeatable; a RandomState is drawn from; None is chance.
        device: where to train and predict: "cpu", "cuda".
        verbose: print the losses of each epoch.

    Attributes: `classes_`, `n_features_in_`, `feature_names_in_`; `network_` (on standardised inputs),
    `input_scaler_`, `seed_` (of the thinned networks), `n_iter_` (epochs run), `best_epoch_`, `loss_curve_`,
    `validation_curve_`.

    Weights of rows: `fit(X, y, sample_weight)`, times the weights of classes. Whole weights repeat a row: a weight of 2
    is the same as the row twice, each with masks of its own. Other weights multiply the row's loss, and only their
    ratios count. A row of weight 0 is left out.

    X may be a sparse matrix. It is filled up first, so it needs the memory of the array, 8 bytes a number.

    Raises: ValueError for numbers that are not finite or beyond 1e30, with column and row, and TypeError for dates;
    when fitting, also for a bad argument, for bad weights, for fewer than two classes, and where training diverges.

    Cost: float32 training, float64 prediction. Source: Srivastava et al. 2014; Gal and Ghahramani 2016.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DropoutClassifier((32,), random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9, model.predict_proba(X).shape
    (True, (150, 3))
    """

    _task = "classification"

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        p: float = 0.2,
        p_input: float = 0.0,
        *,
        class_weight: Mapping[Any, float] | str | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        batch_size: int | str = "auto",
        max_epochs: int = 200,
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        patience: int = 20,
        n_samples: int = 50,
        method: str = "monte_carlo",
        random_state: Any = None,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            p,
            p_input,
            lr=lr,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            n_samples=n_samples,
            method=method,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Train on rows X, their classes y, and the rows' weights (see the class)."""
        x, y = self._read(f"{type(self).__name__}.fit", X, y, ensure_min_samples=2)
        check_classification_targets(y)
        weights = row_weights(type(self).__name__, x, np.asarray(y), sample_weight, self.class_weight)
        x, y, weights = arranged(x, np.asarray(y), weights)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise ValueError(f"`DropoutClassifier.fit`: `y` must have two classes or more. Got one class, {only!r}.")
        self.input_scaler_ = StandardScaler().fit(x, sample_weight=weights)
        x = self.input_scaler_.transform(x)
        self._fit(x, torch.from_numpy(codes), len(self.classes_), codes, weights)
        return self

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """The logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):  # a probability may be 0
            return np.asarray(np.log(self.predict_proba(X)))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Scores that grow with the probability of a class, as scikit-learn shapes them.

        For two classes `(N,)`, the log odds of the second one; for more `(N, classes)`, the logarithms of the
        probabilities. They are of the mean probability over the thinned networks, and finite.
        """
        scores = np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny))
        return np.asarray(scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Each class's probability, `(N, classes)` in the order of `classes_`: the mean over the thinned networks."""
        mean = np.concatenate([samples.mean(0) for samples in self._samples(self._inputs(X))])
        return np.asarray(mean / mean.sum(1, keepdims=True))  # samples are float32, and add up to 1 as such

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The most probable class of each row."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])


class DropoutRegressor(RegressorMixin, DropoutEstimator):  # type: ignore[misc]
    """A multilayer perceptron with dropout, whose prediction is the mean over thinned networks, and has a deviation.

    As `DropoutClassifier`, without `class_weight`; trained on the squared error of the standardised targets;
    `validation_fraction` is of all rows. y may have several columns.

    `predict(X, return_std=True)` gives the standard deviation of a new target, `sqrt(spread^2 + noise_std_^2)`: the
    spread is that of the networks' outputs, and `noise_std_`, one number a column in y's unit, that of targets about
    an output. It is fitted by likelihood on the held-out rows; without early stopping there are none, and it is
    fitted on training rows, hence too small as far as the network overfits. `uncertainty(X).std` is the spread alone.

    Attributes: those of `DropoutClassifier` but `classes_`, and `noise_std_`, `target_scaler_`.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DropoutRegressor((32,), max_epochs=30, random_state=0).fit(X, y)
    >>> mean, std = model.predict(X, return_std=True)
    >>> model.score(X, y) > 0.3, bool((std > model.noise_std_).all())
    (True, True)
    """

    _task = "regression"

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Train on rows X, their targets y, `(N,)` or `(N, targets)`, and the rows' weights (see the class)."""
        owner = f"{type(self).__name__}.fit"
        check_kinds(owner, "y", y)
        if np.asarray(y).dtype.kind in "iuf":
            check_finite(owner, "y", np.asarray(y, dtype=np.float64))
        x, given = self._read(owner, X, y, ensure_min_samples=2, multi_output=True, y_numeric=True)
        self._flat = given.ndim == 1
        targets = np.asarray(given, dtype=np.float64).reshape(len(given), -1)
        weights = row_weights(type(self).__name__, x, targets, sample_weight)
        x, targets, weights = arranged(x, targets, weights)
        self.input_scaler_ = StandardScaler().fit(x, sample_weight=weights)
        self.target_scaler_ = StandardScaler().fit(targets, sample_weight=weights)
        x, targets = self.input_scaler_.transform(x), self.target_scaler_.transform(targets)
        held = self._fit(x, torch.from_numpy(targets.astype(np.float32)), targets.shape[1], None, weights)
        held = held[:_WIDTH_ROWS]
        samples = np.concatenate(list(self._samples(torch.from_numpy(x[held]))), axis=1)
        of_rows = None if weights is None else weights[held]
        widths = np.array(
            [width(samples[..., column], targets[held, column], of_rows) for column in range(targets.shape[1])]
        )
        self.noise_std_ = self._shaped((widths * self.target_scaler_.scale_)[None])[0]
        return self

    def predict(
        self,
        X: ArrayLike,  # noqa: N803
        return_std: bool = False,
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mean over the thinned networks, and, if asked, the standard deviation of a new target, in y's unit."""
        means, spreads = [], []
        for samples in self._samples(self._inputs(X)):
            means.append(samples.mean(0))
            spreads.append(samples.std(0, ddof=1) if len(samples) > 1 else np.zeros_like(samples[0]))
        mean = self._shaped(self.target_scaler_.inverse_transform(np.concatenate(means)))
        if not return_std:
            return mean
        spread = self._shaped(np.concatenate(spreads) * self.target_scaler_.scale_)
        return mean, np.hypot(spread, self.noise_std_)

    def _in_unit(self, prediction: Prediction) -> Prediction:
        scale, mean = (torch.from_numpy(a).float() for a in (self.target_scaler_.scale_, self.target_scaler_.mean_))
        return replace(
            prediction,
            mean=prediction.mean * scale + mean,
            std=prediction.std * scale,
            quantiles=prediction.quantiles * scale + mean,
            samples=None if prediction.samples is None else prediction.samples * scale + mean,
        )

    def _shaped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of y's shape: without the axis of targets, where y had none."""
        return values[:, 0] if self._flat else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
