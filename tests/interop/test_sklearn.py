"""The scikit-learn estimators on real data: what they predict, how sure they are, and that they repeat."""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_linnerud
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import thinned
from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor

Rows = NDArray[Any]
Split = tuple[Rows, Rows, Rows, Rows]
FAST: dict[str, Any] = {"hidden_layer_sizes": (32,), "max_epochs": 20, "n_samples": 10, "random_state": 0}


@pytest.fixture(scope="module")
def cancer() -> Split:
    return tuple(train_test_split(*load_breast_cancer(return_X_y=True), random_state=0))


@pytest.fixture(scope="module")
def diabetes() -> Split:
    return tuple(train_test_split(*load_diabetes(return_X_y=True), random_state=0))


@pytest.fixture(scope="module")
def classifier(cancer: Split) -> DropoutClassifier:
    return DropoutClassifier(random_state=0).fit(cancer[0], cancer[2])


@pytest.fixture(scope="module")
def regressor(diabetes: Split) -> DropoutRegressor:
    return DropoutRegressor(random_state=0).fit(diabetes[0], diabetes[2])


@pytest.mark.long
def test_breast_cancer(classifier: DropoutClassifier, cancer: Split) -> None:
    _, x, _, y = cancer
    probability = classifier.predict_proba(x)
    assert classifier.score(x, y) > 0.93
    assert -np.log(probability[np.arange(len(y)), y]).mean() < 0.2
    assert np.abs(probability.sum(1) - 1).max() < 1e-12


@pytest.mark.long
def test_errors_are_less_sure(classifier: DropoutClassifier, cancer: Split) -> None:
    _, x, _, y = cancer
    found, wrong = classifier.uncertainty(x), classifier.predict(x) != y
    for measure in (found.entropy, found.mutual_information, 1 - found.max_probability):
        assert measure.numpy()[wrong].mean() > 2 * measure.numpy()[~wrong].mean()


def test_diabetes(regressor: DropoutRegressor, diabetes: Split) -> None:
    _, x, _, y = diabetes
    mean, std = regressor.predict(x, return_std=True)
    assert regressor.score(x, y) > 0.3  # least squares has 0.36 on this split, and no fit more than 0.5
    z = (y - mean) / std
    assert 0.88 < np.mean(np.abs(z) < 1.96) < 0.99
    density = (-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).mean()
    constant = (-0.5 * ((y - y.mean()) / y.std()) ** 2 - np.log(y.std()) - 0.5 * np.log(2 * np.pi)).mean()
    assert density > constant + 0.1


def test_std_is_that_of_a_new_target(regressor: DropoutRegressor, diabetes: Split) -> None:
    mean, std = regressor.predict(diabetes[1], return_std=True)
    found = regressor.uncertainty(diabetes[1], samples=True)
    assert np.allclose(found.mean[:, 0], mean, rtol=1e-5)
    assert np.allclose(np.hypot(found.std[:, 0].numpy(), regressor.noise_std_), std, rtol=1e-5)
    assert found.samples is not None
    assert np.allclose(found.samples.std(0)[:, 0], found.std[:, 0], rtol=1e-4)


def test_the_noise_is_what_calibrate_fits(diabetes: Split) -> None:
    x, _, y, _ = diabetes
    model = DropoutRegressor(**FAST, early_stopping=False).fit(x, y)  # without held-out rows it is fitted on all
    rows = torch.from_numpy(model.input_scaler_.transform(x))
    targets = torch.from_numpy(model.target_scaler_.transform(y[:, None])[:, 0])
    fitted = thinned.calibrate(
        model.network_, (rows, targets), task="regression", n=10, seed=model.seed_, shared_masks=True
    )
    assert model.noise_std_ == pytest.approx(fitted.sigma * model.target_scaler_.scale_[0], rel=1e-4)


def test_spread_grows_away_from_the_data(regressor: DropoutRegressor, diabetes: Split) -> None:
    """Along rays: far out a network of ReLUs is linear, and so is the spread. That is no law for other networks."""
    train, x, _, _ = diabetes
    centre = train.mean(0)
    near, far = (regressor.uncertainty(centre + by * (x - centre)).std.mean() for by in (1, 3))
    assert far > 2 * near


def test_early_stopping_stops_and_takes_the_best(classifier: DropoutClassifier) -> None:
    assert classifier.n_iter_ == classifier.best_epoch_ + classifier.patience < classifier.max_epochs
    assert len(classifier.validation_curve_) == len(classifier.loss_curve_) == classifier.n_iter_
    assert int(np.argmin(classifier.validation_curve_)) + 1 == classifier.best_epoch_


def test_the_best_weights_are_back(cancer: Split) -> None:
    """The network's loss on the rows held out is the least that there was, and not the last."""
    from thinned.fit.loop import Course
    from thinned.fit.perceptron import Perceptron
    from thinned.interop.early_stopping import lr_share, train

    x, y = torch.from_numpy(cancer[0]).float(), torch.from_numpy(cancer[2])
    x = (x - x.mean(0)) / x.std(0)
    network = Perceptron(30, (64,), 2, 0.1, 0.0, torch.Generator().manual_seed(0))
    course = Course(1e-2, lr_share, 0.0, batch=32, epochs=40, order=1, masks=2)
    history = train(network, x[100:], y[100:], (x[:100], y[:100]), course, owner="it", patience=5)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network(x[:100]), y[:100]).item()
    assert len(history.held_out) < 40
    assert loss == min(history.held_out) < history.held_out[-1]


def test_without_early_stopping_every_epoch_is_run(diabetes: Split) -> None:
    model = DropoutRegressor(**FAST, early_stopping=False).fit(diabetes[0], diabetes[2])
    assert model.n_iter_ == model.best_epoch_ == 20
    assert model.validation_curve_ == []
    assert 30 < model.noise_std_ < 80


@pytest.mark.parametrize("kind", [DropoutRegressor, pytest.param(DropoutClassifier, marks=pytest.mark.long)])
def test_an_integer_seed_repeats(kind: Any, cancer: Split) -> None:
    x, rows, y, _ = cancer
    first, second, other = (kind(**FAST | {"random_state": seed}).fit(x, y) for seed in (1, 1, 2))
    assert np.array_equal(first.predict(rows), second.predict(rows))
    assert torch.equal(first.uncertainty(rows).std, second.uncertainty(rows).std)
    assert not torch.equal(first.uncertainty(rows).std, other.uncertainty(rows).std)


@pytest.mark.long
def test_a_random_state_is_drawn_from_and_torch_left_alone(cancer: Split) -> None:
    x, rows, y, _ = cancer
    state = torch.get_rng_state()
    source = np.random.RandomState(3)
    first = clone(DropoutClassifier(**FAST)).set_params(random_state=source).fit(x, y).predict_proba(rows)
    second = DropoutClassifier(**FAST | {"random_state": source}).fit(x, y).predict_proba(rows)
    again = DropoutClassifier(**FAST | {"random_state": np.random.RandomState(3)}).fit(x, y).predict_proba(rows)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_prediction_does_not_depend_on_its_company(
    classifier: DropoutClassifier,
    regressor: DropoutRegressor,
    cancer: Split,
    diabetes: Split,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together, spread = classifier.predict_proba(cancer[1]), regressor.predict(diabetes[1], return_std=True)
    assert np.allclose(classifier.predict_proba(cancer[1][7:9]), together[7:9], rtol=1e-7, atol=0)
    assert np.allclose(regressor.predict(diabetes[1][[5]], return_std=True)[1], spread[1][5], rtol=1e-7, atol=0)
    monkeypatch.setattr("thinned.interop.estimator._AT_ONCE", 50 * 2 * 11)  # eleven rows at once
    assert np.allclose(classifier.predict_proba(cancer[1]), together, rtol=1e-7, atol=0)


@pytest.mark.long
def test_a_device_is_where_it_runs_and_the_network_stays_on_the_cpu(cancer: Split) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu:0"
    model = DropoutClassifier(**FAST, device=device).fit(cancer[0], cancer[2])
    assert {parameter.device.type for parameter in model.network_.parameters()} == {"cpu"}
    here = clone(model).set_params(device="cpu").fit(cancer[0], cancer[2])
    assert np.allclose(model.predict_proba(cancer[1]), here.predict_proba(cancer[1]), atol=1e-2)


def test_pickled_and_loaded(classifier: DropoutClassifier, regressor: DropoutRegressor, cancer: Split) -> None:
    for model, rows in ((classifier, cancer[1]), (regressor, load_diabetes().data)):
        assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(rows), model.predict(rows))


@pytest.mark.long
def test_in_a_pipeline_under_a_grid_search(cancer: Split) -> None:
    x, rows, y, labels = cancer
    pipeline = make_pipeline(MinMaxScaler(), DropoutClassifier(**FAST | {"lr": 1e-2}))
    search = GridSearchCV(pipeline, {"dropoutclassifier__p": [0.0, 0.3]}, cv=2, scoring="neg_log_loss").fit(x, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert (search.best_estimator_.predict(rows) == labels).mean() > 0.9
    assert cross_val_score(pipeline, x, y, cv=2, scoring="roc_auc", error_score="raise").min() > 0.95


def test_columns_and_labels_have_names() -> None:
    frame = load_breast_cancer(as_frame=True)
    names = np.array(["malignant", "benign"])[frame.target]
    model = DropoutClassifier(**FAST).fit(frame.data, names)
    assert list(model.classes_) == ["benign", "malignant"]
    assert list(model.feature_names_in_) == list(frame.data.columns)
    assert (model.predict(frame.data) == names).mean() > 0.9
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.data[frame.data.columns[::-1]])


@pytest.mark.long
def test_ten_classes() -> None:
    x, rows, y, labels = train_test_split(*load_digits(return_X_y=True), random_state=0)
    model = DropoutClassifier((64,), max_epochs=30, patience=5, n_samples=20, lr=3e-3, random_state=0).fit(x, y)
    assert model.score(rows, labels) > 0.94


def test_several_targets() -> None:
    x, y = load_linnerud(return_X_y=True)
    model = DropoutRegressor(**FAST).fit(x, y)
    mean, std = model.predict(x, return_std=True)
    assert mean.shape == std.shape == y.shape
    assert model.noise_std_.shape == (3,)
    assert (std > model.noise_std_).all()
    assert model.uncertainty(x).mean.shape == y.shape


def test_weight_scaling_is_one_pass(classifier: DropoutClassifier, regressor: DropoutRegressor, cancer: Split) -> None:
    model = clone(classifier).set_params(method="weight_scaling", **FAST).fit(cancer[0], cancer[2])
    x = torch.from_numpy(model.input_scaler_.transform(cancer[1]))
    expected = thinned.weight_scaling(model.network_, x).softmax(1)
    assert np.allclose(model.predict_proba(cancer[1]), expected, atol=1e-7)
    rows, targets = load_diabetes(return_X_y=True)
    value = DropoutRegressor(**FAST, method="weight_scaling").fit(rows, targets)
    assert (value.predict(rows, return_std=True)[1] == value.noise_std_).all()


def test_without_dropout_there_is_one_network(diabetes: Split) -> None:
    model = DropoutRegressor(**FAST | {"p": 0.0}).fit(diabetes[0], diabetes[2])
    assert (model.predict(diabetes[1], return_std=True)[1] == model.noise_std_).all()
    with pytest.raises(ValueError, match="`predict`"):
        model.uncertainty(diabetes[1])


def test_dropout_on_inputs_alone(cancer: Split) -> None:
    model = DropoutClassifier(**FAST | {"p": 0.0, "p_input": 0.2, "hidden_layer_sizes": ()}).fit(cancer[0], cancer[2])
    assert model.score(cancer[1], cancer[3]) > 0.85
    assert (model.uncertainty(cancer[1]).std > 0).any()


def test_progress_is_printed(cancer: Split, capsys: pytest.CaptureFixture[str]) -> None:
    DropoutClassifier(**FAST | {"max_epochs": 2}, verbose=True).fit(cancer[0], cancer[2])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("DropoutClassifier: epoch 1: loss 0.")


@pytest.mark.parametrize(
    ("argument", "value", "kind", "said"),
    [
        ("p", 20, ValueError, r"`p` must be a number in \[0, 1\]. Got 20. If 20 % was meant, pass 0.2"),
        ("p_input", None, TypeError, "`p_input` must be"),
        ("lr", 0.0, ValueError, "`lr` must be a finite number above 0. Got 0.0. The default is 0.001"),
        ("lr", "1e-3", TypeError, "`lr` must be"),
        ("weight_decay", -1.0, ValueError, "`weight_decay` must be a finite number, 0 or more"),
        ("validation_fraction", 1.0, ValueError, r"`validation_fraction` must be a number in \(0, 1\)"),
        ("batch_size", "all", TypeError, "`batch_size` must be an integer"),
        ("max_epochs", 0, ValueError, "`max_epochs` must be an integer"),
        ("patience", 1.5, TypeError, "`patience` must be an integer"),
        ("n_samples", 0, ValueError, "`n_samples` must be an integer"),
        ("method", "mc", ValueError, "`method` must be one of 'monte_carlo', 'weight_scaling'"),
        ("hidden_layer_sizes", "128", TypeError, "`hidden_layer_sizes` must be a sequence of numbers of units"),
        ("hidden_layer_sizes", (0,), ValueError, "`hidden_layer_sizes` must be an integer"),
    ],
)
def test_bad_arguments_are_named(argument: str, value: Any, kind: type[Exception], said: str) -> None:
    model = DropoutClassifier(**{argument: value})
    with pytest.raises(kind, match=f"`DropoutClassifier`: {said}"):
        model.fit(np.eye(8), np.arange(8) % 2)


def test_bad_data_is_named() -> None:
    with pytest.raises(ValueError, match=r"`y` must have two classes or more. Got one class, 1.0"):
        DropoutClassifier().fit(np.eye(4), np.ones(4))
    with pytest.raises(ValueError, match=r"Got 3 rows of 3 classes. Pass early_stopping=False"):
        DropoutClassifier().fit(np.eye(3), np.arange(3))
    DropoutClassifier(**FAST, early_stopping=False).fit(np.eye(3), np.arange(3))


def test_divergence_is_an_error() -> None:
    x, y = load_diabetes(return_X_y=True)
    with pytest.raises(
        ValueError, match=r"the loss must be finite. Got (nan|inf) in epoch \d+.*smaller lr than 1e\+20"
    ):
        DropoutRegressor(**FAST | {"lr": 1e20}).fit(x, y)


def test_every_class_keeps_a_row_to_train_on() -> None:
    from thinned.interop.held_out import hold_out

    classes = np.array([0] * 80 + [1] * 18 + [2, 3])
    for seed in range(20):
        kept, held = hold_out(100, 0.2, seed, classes)
        assert sorted([*kept, *held]) == list(range(100))
        assert len(held) == 20
        assert set(classes[kept]) == {0, 1, 2, 3}
        assert 15 <= (classes[held] == 0).sum() <= 17


def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "thinned.interop.sklearn")
    for name in ("sklearn", "sklearn.base"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"needs scikit-learn.*pip install 'thinned\[study\]'"):
        importlib.import_module("thinned.interop.sklearn")
