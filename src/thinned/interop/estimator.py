"""What the scikit-learn estimators share: see `sklearn.py`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..fit.loop import Course
from ..fit.perceptron import Perceptron
from ..noise import fold_in
from ..uncertainty.predict import predict
from ..uncertainty.prediction import Prediction
from .early_stopping import lr_share, train
from .finite import check_finite, check_kinds
from .held_out import hold_out
from .named import NamedPrediction
from .settings import settings

_AT_ONCE = 2**24  # sampled numbers in one call of `predict`: 64 MiB of float32
_WEIGHTS, _ORDER, _MASKS, _SPLIT, _SAMPLES = range(5)


class DropoutEstimator(BaseEstimator):  # type: ignore[misc]
    """What both have: arguments, which are stored as they come, training, and samples of the outputs."""

    _task: str

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        p: float = 0.2,
        p_input: float = 0.0,
        *,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.p = p
        self.p_input = p_input
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_samples = n_samples
        self.method = method
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def uncertainty(self, X: Any, **options: Any) -> NamedPrediction:  # noqa: N803 - scikit-learn's name
        """`thinned.predict` of these rows: for classes the predictive entropy, mutual information and variation ratio,
        for numbers the mean, standard deviation and quantiles over the networks, in y's unit, without y's own noise.

        `options` go to `thinned.predict`, such as samples=True or levels=(0.025, 0.975). `to_pandas()` has the classes
        by their names, and the index of X where X is a DataFrame.
        """
        x = self._inputs(X)
        given = {"n": self.n_samples, "seed": self.seed_, "task": self._task, "shared_masks": True, **options}
        found = self._in_unit(predict(self._network(), x, **given))
        return NamedPrediction.of(found, getattr(self, "classes_", None), X.index if hasattr(X, "iloc") else None)

    def _in_unit(self, prediction: Prediction) -> Prediction:
        """With outputs in y's unit."""
        return prediction

    def _fit(
        self,
        x: NDArray[np.float64],
        y: Tensor,
        outputs: int,
        codes: NDArray[np.int64] | None,
        weights: NDArray[np.float64] | None,
    ) -> NDArray[np.int64]:
        """Train on standardised inputs; answer with the rows held out, or all where none are.

        Arguments:
            codes: the classes, of which each keeps a row for training; None for numbers.
            weights: of the rows' losses.
        """
        told = settings(self)
        root = int(check_random_state(self.random_state).randint(0, 2**63 - 1, dtype=np.int64))
        self.seed_ = fold_in(root, _SAMPLES)
        rows = held = np.arange(len(x))
        if self.early_stopping:
            rows, held = hold_out(len(x), self.validation_fraction, fold_in(root, _SPLIT), codes)
            if not len(held):
                raise ValueError(
                    f"`{told.owner}.fit`: early stopping needs rows to hold out beside one row of each class for "
                    f"training. Got {len(x)} rows of {outputs} classes. Pass early_stopping=False."
                )
        network = Perceptron(
            x.shape[1],
            told.hidden,
            outputs,
            self.p,
            self.p_input,
            torch.Generator().manual_seed(fold_in(root, _WEIGHTS)),
        ).to(self.device)
        inputs, targets = torch.from_numpy(x.astype(np.float32)).to(self.device), y.to(self.device)
        weighing = None if weights is None else torch.from_numpy(weights.astype(np.float32)).to(self.device)
        course = Course(
            lr=self.lr,
            lr_share=lr_share,
            weight_decay=self.weight_decay,
            batch=told.batch(len(rows)),
            epochs=self.max_epochs,
            order=fold_in(root, _ORDER),
            masks=fold_in(root, _MASKS),
        )
        history = train(
            network,
            inputs[rows],
            targets[rows],
            (inputs[held], targets[held]) if self.early_stopping else None,
            course,
            weights=None if weighing is None else (weighing[rows], weighing[held]),
            owner=told.owner,
            patience=self.patience,
            verbose=self.verbose,
        )
        # In float64 a row's prediction doesn't depend, to the last bits, on how many rows are predicted with it.
        self.network_ = network.double().cpu()
        self.loss_curve_, self.validation_curve_ = history.loss, history.held_out
        self.n_iter_, self.best_epoch_ = len(history.loss), history.best
        return held

    def _read(
        self,
        owner: str,
        X: ArrayLike,  # noqa: N803
        y: Any = "no_validation",
        **options: Any,
    ) -> tuple[NDArray[np.float64], Any]:
        """Rows as finite numbers, a sparse matrix filled up, as a network's first product needs it; and their targets.

        Arguments:
            y: the targets; by default there are none, as scikit-learn's `validate_data` has it.
            options: for `validate_data`.
        """
        check_kinds(owner, "X", X)
        found = validate_data(self, X, y, dtype=np.float64, accept_sparse="csr", ensure_all_finite=False, **options)
        x, targets = found if isinstance(found, tuple) else (found, None)
        x = np.asarray(x.toarray() if hasattr(x, "toarray") else x)
        check_finite(owner, "X", x, getattr(self, "feature_names_in_", None))
        return x, targets

    def _inputs(self, X: ArrayLike) -> Tensor:  # noqa: N803
        check_is_fitted(self)
        x, _ = self._read(type(self).__name__, X, reset=False)
        return torch.from_numpy(self.input_scaler_.transform(x))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _network(self) -> Perceptron:
        network: Perceptron = self.network_
        return network if self.device == "cpu" else copy.deepcopy(network).to(self.device)

    def _samples(self, x: Tensor) -> Iterator[NDArray[np.float64]]:
        """Sampled outputs `(n, rows, outputs)`, or the one of weight scaling, in pieces of rows.

        All rows have the same masks, so a row's prediction is the same, to rounding, in whatever company.
        """
        told, network = settings(self), self._network()
        if told.weight_scaling or not network.drops:
            with torch.no_grad():
                output = network(x.to(self.device)).cpu()
            yield (output.softmax(1) if self._task == "classification" else output)[None].numpy()
            return
        each = max(1, _AT_ONCE // (self.n_samples * network.outputs))
        for rows in x.split(each):
            found = predict(
                network, rows, self.n_samples, seed=self.seed_, task=self._task, shared_masks=True, samples=True
            )
            assert found.samples is not None
            yield found.samples.double().numpy()
