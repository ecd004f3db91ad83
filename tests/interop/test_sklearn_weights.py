"""Weights of rows and classes, sparse rows, scores, and names in scikit-learn's estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor

FAST: dict[str, Any] = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 6,
    "n_samples": 5,
    "lr": 1e-2,
    "random_state": 0,
}
KINDS = [DropoutClassifier, DropoutRegressor]


def data(kind: Any) -> tuple[Any, Any]:
    x, y = load_iris(return_X_y=True) if kind is DropoutClassifier else load_diabetes(return_X_y=True)
    return x[::4], y[::4]


def noisy() -> tuple[Any, Any]:
    """One column, in which two classes overlap: 300 rows of the first and 60 of the second."""
    draw = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 60])
    return (draw.normal(size=360) + y)[:, None], y


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_weight_is_the_row_so_many_times(kind: Any) -> None:
    x, y = data(kind)
    weights = np.arange(len(x)) % 4
    weighted = kind(**FAST).fit(x, y, sample_weight=weights)
    order = np.random.default_rng(0).permutation(int(weights.sum()))
    repeated = kind(**FAST).fit(x.repeat(weights, axis=0)[order], y.repeat(weights)[order])
    assert np.array_equal(weighted.predict(x), repeated.predict(x))
    assert weighted.loss_curve_ == repeated.loss_curve_
    if kind is DropoutRegressor:
        assert weighted.noise_std_ == repeated.noise_std_


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_ratios_of_other_weights_count(kind: Any) -> None:
    x, y = data(kind)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, len(x))
    first, second = (kind(**FAST).fit(x, y, sample_weight=weights * by) for by in (1.0, 1e-3))
    np.testing.assert_allclose(first.predict(x), second.predict(x), rtol=1e-4)
    plain = kind(**FAST).fit(x, y)
    assert first.loss_curve_ != plain.loss_curve_
    assert kind(**FAST).fit(x, y, sample_weight=np.ones(len(x))).loss_curve_ == plain.loss_curve_


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_weight_moves_the_answer_to_its_row(early_stopping: bool) -> None:
    """Two halves of the rows say different numbers of one x; so many whole weights are weights of the loss."""
    x, y = np.zeros((100, 1)), np.repeat([0.0, 1.0], 50)
    for weight in (4.5, 100.0):
        model = DropoutRegressor(
            **FAST | {"p": 0.0, "max_epochs": 60}, early_stopping=early_stopping, method="weight_scaling"
        )
        model.fit(x, y, sample_weight=np.where(y == 1, weight, 1.0))
        expected = weight / (1 + weight)
        assert model.predict(x[:1])[0] == pytest.approx(expected, abs=0.05)
        if not early_stopping:
            assert model.noise_std_ == pytest.approx((expected * (1 - expected)) ** 0.5, abs=0.06)


def test_balanced_classes_are_found_as_often() -> None:
    x, y = noisy()
    plain, balanced, told = (
        DropoutClassifier(**FAST, class_weight=weight).fit(x, y).predict(x)
        for weight in (None, "balanced", {0: 1, 1: 5})
    )
    assert (plain[y == 1] == 1).mean() < 0.3
    assert (balanced[y == 1] == 1).mean() > 0.5
    assert (told[y == 1] == 1).mean() > 0.5


def test_both_kinds_of_weights_are_multiplied() -> None:
    x, y = noisy()
    both = DropoutClassifier(**FAST, class_weight={0: 1, 1: 2}).fit(x, y, sample_weight=np.where(y == 1, 2, 1))
    assert both.loss_curve_ == DropoutClassifier(**FAST, class_weight={0: 1, 1: 4}).fit(x, y).loss_curve_


def test_a_class_of_weight_0_is_no_class() -> None:
    x, y = load_iris(return_X_y=True)
    assert list(DropoutClassifier(**FAST).fit(x, y, sample_weight=(y != 1) * 1.0).classes_) == [0, 2]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (-1.0, "[Nn]egative"),
        (float("nan"), "NaN"),
        (0.0, "at least one non-zero number"),
    ],
)
def test_bad_weights_are_refused(weights: float, said: str) -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=said):
        DropoutClassifier(**FAST).fit(x, y, sample_weight=np.full(len(y), weights))
    with pytest.raises(ValueError, match=r"sample_weight\.shape"):
        DropoutClassifier(**FAST).fit(x, y, sample_weight=np.ones(3))
    cases: list[tuple[Any, type[Exception]]] = [("even", ValueError), ([1, 2, 3], TypeError), (3, TypeError)]
    for given, kind in cases:
        with pytest.raises(kind, match="`DropoutClassifier`: `class_weight` must be a mapping from classes"):
            DropoutClassifier(**FAST, class_weight=given).fit(x, y)
    with pytest.raises(ValueError, match="not in class_weight"):
        DropoutClassifier(**FAST, class_weight={"no class": 2}).fit(x, y)
    for weight in (0.0, -1.0, float("inf")):
        with pytest.raises(
            ValueError, match=r"`DropoutClassifier.fit`: weights of rows must be finite, 0 or more, and not"
        ):
            DropoutClassifier(**FAST, class_weight=dict.fromkeys(range(3), weight)).fit(x, y)


def test_the_order_of_rows_does_not_matter() -> None:
    x, y = data(DropoutClassifier)
    order = np.random.default_rng(0).permutation(len(x))
    first, second = DropoutClassifier(**FAST).fit(x, y), DropoutClassifier(**FAST).fit(x[order], y[order])
    assert np.array_equal(first.predict_proba(x), second.predict_proba(x))


FORMS = [sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix]


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_sparse_rows_are_the_dense_ones(kind: Any) -> None:
    x, y = data(kind)
    x = np.where(x > np.median(x), x, 0.0)
    expected = kind(**FAST).fit(x, y)
    for form in FORMS:
        model = kind(**FAST).fit(form(x), y)
        assert np.array_equal(model.predict(form(x)), expected.predict(x))
        assert np.array_equal(model.uncertainty(form(x)).mean, expected.uncertainty(x).mean)


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_agree(classes: int) -> None:
    x, y = load_iris(return_X_y=True)
    x, y = x[y < classes], y[y < classes]
    model = DropoutClassifier(**FAST).fit(x, y)
    probability, scores = model.predict_proba(x), model.decision_function(x)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(x)), probability)
    if classes == 2:
        np.testing.assert_allclose(1 / (1 + np.exp(-scores)), probability[:, 1], atol=1e-12)
    else:
        assert np.array_equal(scores.argmax(1), model.predict(x))
    assert np.isfinite(scores).all()


@pytest.mark.long
def test_a_scorer_may_use_either() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    for scoring in ("roc_auc", "neg_log_loss", "average_precision"):
        assert np.isfinite(cross_val_score(DropoutClassifier(**FAST), x, y, cv=2, scoring=scoring)).all()


def test_uncertainty_has_names_and_the_index() -> None:
    frame = load_iris(as_frame=True)
    x = frame.data.set_axis([f"flower {number}" for number in range(150)])
    names = np.array(frame.target_names)[frame.target]
    model = DropoutClassifier(**FAST).fit(x, names)
    found = model.uncertainty(x[::3])
    table = found.to_pandas()
    assert list(table.index) == list(x.index[::3])
    assert list(table["label"]) == list(found.label_name) == list(model.predict(x[::3]))
    array = DropoutClassifier(**FAST).fit(x.to_numpy(), names).uncertainty(x.to_numpy()[:2])
    assert list(array.to_pandas().index) == [0, 1]
    numbers = DropoutRegressor(**FAST).fit(x, frame.target).uncertainty(x[::3]).to_pandas()
    assert list(numbers.index) == list(x.index[::3])
    assert "mean" in numbers


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_text_numbers_and_gaps(kind: Any) -> None:
    """The pipeline of docs/guides/sklearn.md: OneHotEncoder answers with a sparse matrix."""
    draw = np.random.default_rng(0)
    x = pd.DataFrame({"town": draw.choice(["Bonn", "Ulm", "Köln"], 120), "size": draw.normal(size=120)})
    y = (x["town"] == "Ulm") * 1.0 + (x["size"] > 0)
    x.loc[::7, "size"] = np.nan
    rows = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town"]), (SimpleImputer(), ["size"]), sparse_threshold=1.0
    )
    assert sparse.issparse(rows.fit_transform(x))
    model = make_pipeline(rows, kind(**FAST | {"max_epochs": 60})).fit(x, y.astype(int))
    assert model.score(x, y) > 0.7
    assert len(model[-1].uncertainty(model[:-1].transform(x)).to_pandas()) == 120
