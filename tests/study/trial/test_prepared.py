"""What a seed's runs train on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from thinned.study.data.dataset import Dataset
from thinned.study.data.parts import parts, sizes
from thinned.study.trial.fold import Fold
from thinned.study.trial.prepared import prepared

_FOUND = sklearn.datasets.load_diabetes(as_frame=True, scaled=False)
DATA = Dataset("diabetes", "s", "regression", "target", _FOUND.data, _FOUND.target.to_numpy())
PART = parts(DATA, sizes(DATA), 0, 1)


def test_training_rows_are_standardised_by_themselves() -> None:
    fold = prepared(DATA, PART).fold
    assert fold.x_train.mean(axis=0, dtype=np.float64) == pytest.approx(np.zeros(10), abs=1e-6)
    assert fold.x_train.std(axis=0, dtype=np.float64) == pytest.approx(np.ones(10), abs=1e-5)
    train = DATA.y[PART.train]
    assert (fold.mean, fold.scale) == (train.mean(), train.std())
    assert fold.y_test * fold.scale + fold.mean == pytest.approx(DATA.y[PART.test], rel=1e-5)
    assert (fold.val_rows.tolist(), fold.test_rows.tolist()) == (PART.val.tolist(), PART.test.tolist())


def test_validation_and_test_rows_decide_nothing() -> None:
    changed = DATA.features.copy()
    y = DATA.y.copy()
    others = np.concatenate([PART.val, PART.test])
    changed.iloc[others] *= 100
    y[others] *= 100
    one, two = prepared(DATA, PART), prepared(replace(DATA, features=changed, y=y), PART)
    assert np.array_equal(one.fold.x_train, two.fold.x_train)
    assert np.array_equal(one.fold.y_train, two.fold.y_train)
    assert np.array_equal(one.preparation.mean, two.preparation.mean)


def test_a_fold_is_on_disk_what_it_was(tmp_path: Path) -> None:
    fold = prepared(DATA, PART).fold
    fold.save(tmp_path / "0.npz")
    again = Fold.load(tmp_path / "0.npz")
    assert (again.outputs, again.mean, again.scale) == (fold.outputs, fold.mean, fold.scale)
    for name in ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "val_rows", "test_rows"):
        assert np.array_equal(getattr(again, name), getattr(fold, name))
