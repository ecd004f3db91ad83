"""Baselines: what scikit-learn gives, in a network's form."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from thinned.study.data.dataset import Dataset
from thinned.study.data.parts import parts, sizes
from thinned.study.trial.baseline import STRENGTHS, Answers, baselines, constant, linear, tree
from thinned.study.trial.fold import Fold
from thinned.study.trial.prepared import prepared


def fold(name: str, index: int = 0) -> Fold:
    found = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    if name == "diabetes":
        data = Dataset(name, "s", "regression", "target", found.data, found.target.to_numpy())
    else:
        classes = tuple(map(str, found.target_names))
        data = Dataset(name, "s", "classification", "target", found.data, found.target.to_numpy(np.int64), classes)
    return prepared(data, parts(data, sizes(data), 0, index)).fold


CLASSES, VALUES = fold("wine"), fold("diabetes")
WHOLE = ("max_leaf_nodes", "min_samples_leaf", "max_iter")


def nll(output: np.ndarray, y: np.ndarray) -> float:
    return -float(output[np.arange(len(y)), y].mean(dtype=np.float64))


@pytest.mark.parametrize("rows", [CLASSES, VALUES], ids=["classes", "values"])
def test_answers_are_as_a_network_gives_them(rows: Fold) -> None:
    width = max(rows.outputs, 1)
    for answers in baselines(rows):
        for output, x in ((answers.val_output, rows.x_val), (answers.test_output, rows.x_test)):
            assert output.shape == (len(x), width)
            assert output.dtype == np.float32
            assert np.isfinite(output).all()
            if rows.outputs:
                assert np.exp(output.astype(np.float64)).sum(axis=1) == pytest.approx(np.ones(len(x)), abs=1e-5)
                assert output.min() >= np.log(0.99e-7)


@pytest.mark.long
@pytest.mark.parametrize("rows", [CLASSES, VALUES], ids=["classes", "values"])
def test_equal_folds_give_equal_answers(rows: Fold) -> None:
    for one, two in zip(baselines(rows), baselines(rows), strict=True):
        assert np.array_equal(one.test_output, two.test_output)
        assert np.array_equal(one.val_output, two.val_output)
        assert (one.name, one.settings) == (two.name, two.settings)


def test_the_constant_is_the_training_rows_shares_or_mean() -> None:
    shares = np.bincount(CLASSES.y_train) / len(CLASSES.y_train)
    assert np.exp(constant(CLASSES).test_output[0]) == pytest.approx(shares, abs=1e-6)
    assert constant(VALUES).test_output == pytest.approx(0, abs=1e-6)  # values are standardised by the training rows


def test_the_linear_model_is_the_best_of_scikit_learns_on_validation_rows() -> None:
    def classes(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=1000).fit(CLASSES.x_train.astype(float), CLASSES.y_train)

    losses = [nll(classes(c).predict_log_proba(CLASSES.x_val.astype(float)), CLASSES.y_val) for c in STRENGTHS]
    chosen = STRENGTHS[int(np.argmin(losses))]
    found = linear(CLASSES)
    assert found.settings == {"C": chosen}
    expected = classes(chosen).predict_proba(CLASSES.x_test.astype(float))
    assert np.exp(found.test_output) == pytest.approx(expected, abs=1e-4)

    def values(strength: float) -> Ridge:
        return Ridge(alpha=strength).fit(VALUES.x_train.astype(float), VALUES.y_train)

    errors = [np.square(values(a).predict(VALUES.x_val.astype(float)) - VALUES.y_val).mean() for a in STRENGTHS]
    chosen = STRENGTHS[int(np.argmin(errors))]
    found = linear(VALUES)
    assert found.settings == {"alpha": chosen}
    assert found.test_output[:, 0] == pytest.approx(values(chosen).predict(VALUES.x_test.astype(float)), abs=1e-4)


def refitted(rows: Fold, found: Answers) -> np.ndarray:
    """The chosen trees, trained in one go."""
    kind = HistGradientBoostingClassifier if rows.outputs else HistGradientBoostingRegressor
    settings = found.settings | {name: int(found.settings[name]) for name in WHOLE}
    model = kind(early_stopping=False, random_state=0, **settings).fit(rows.x_train, rows.y_train)
    if rows.outputs:
        return np.asarray(np.log(np.maximum(model.predict_proba(rows.x_test), 1e-7)))
    return np.asarray(model.predict(rows.x_test))[:, None]


@pytest.mark.long
@pytest.mark.parametrize("rows", [CLASSES, VALUES], ids=["classes", "values"])
def test_the_trees_are_scikit_learns_stopped_on_validation_rows(rows: Fold) -> None:
    found = tree(rows)
    assert found.test_output == pytest.approx(refitted(rows, found), abs=1e-4)
    assert 1 <= found.settings["max_iter"] <= 400


def test_trees_like_another_seeds_take_its_rate_and_leaves() -> None:
    first = tree(VALUES)
    other = fold("diabetes", 4)  # of the same outer fold
    found = tree(other, like=first)
    for name in ("learning_rate", "max_leaf_nodes", "min_samples_leaf"):
        assert found.settings[name] == first.settings[name]
    assert found.test_output == pytest.approx(refitted(other, found), abs=1e-4)


def test_on_few_rows_leaves_may_be_small() -> None:
    """170 rows of a curve in steps, which leaves of twenty rows can't follow."""
    x = np.linspace(0, 1, 290, dtype=np.float32)[np.random.default_rng(0).permutation(290), None]
    y = np.floor(x[:, 0] * 24).astype(np.float32) % 2
    steps = replace(VALUES, x_train=x[:170], y_train=y[:170], x_val=x[170:230], y_val=y[170:230], x_test=x[230:])
    found = tree(steps)
    assert found.settings["min_samples_leaf"] == 5
    assert np.abs(found.test_output[:, 0] - y[230:]).mean() < 0.2
    many = replace(steps, x_train=np.tile(x, (7, 1)), y_train=np.tile(y, 7))
    assert tree(many).settings["min_samples_leaf"] == 20


def test_a_model_beats_the_constant_on_real_rows() -> None:
    shares, line, trees = (nll(answers.test_output, CLASSES.y_test) for answers in baselines(CLASSES))
    assert line < shares / 5
    assert trees < shares / 5


@pytest.mark.long
def test_classes_that_training_rows_lack_are_answered_for() -> None:
    for kept in ([0, 2], [1]):
        mask = np.isin(CLASSES.y_train, kept)
        few = replace(CLASSES, x_train=CLASSES.x_train[mask], y_train=CLASSES.y_train[mask])
        for answers in baselines(few):
            assert answers.test_output.shape == (len(few.x_test), 3)
            assert np.isfinite(answers.test_output).all()
            absent = [number for number in range(3) if number not in kept]
            assert np.exp(answers.test_output[:, absent]) == pytest.approx(1e-7, rel=1e-3)
