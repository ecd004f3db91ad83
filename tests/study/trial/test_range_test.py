"""The range test's rates: where training diverges, and what is proposed of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.preprocessing import scale

from thinned.study.trial.config import Recipe
from thinned.study.trial.fold import Fold
from thinned.study.trial.range_test import RangeTest, judged, range_test

NONE = np.zeros(0, dtype=np.int64)


def fold(name: str) -> Fold:
    x, y = {"diabetes": load_diabetes, "breast_cancer": load_breast_cancer}[name](return_X_y=True)
    x, outputs = scale(x).astype(np.float32)[:300], 0 if name == "diabetes" else 2
    y = scale(y).astype(np.float32)[:300] if name == "diabetes" else y.astype(np.int64)[:300]
    return Fold(x, y, x[:0], y[:0], x[:0], y[:0], NONE, NONE, outputs)


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_real_tables_have_about_five_rates_up_to_where_training_diverges(name: str) -> None:
    found = range_test(fold(name), Recipe(0, (64, 64), 16, 100))
    assert found.diverges_at is not None
    assert 0.02 < found.diverges_at < 2
    rates = found.proposed()
    assert 5 <= len(rates) <= 7
    assert rates[0] == 3e-4
    assert rates[-1] <= found.diverges_at / 2
    assert rates[-1] == 0.03 or found.diverges_at / 2 < 3.4 * rates[-1]
    assert found.lrs[0] == 1e-6
    assert len(found.lrs) == len(found.losses) <= 200
    assert all(map(math.isfinite, found.losses))
    assert range_test(fold(name), Recipe(0, (64, 64), 16, 100)) == found


def test_a_network_that_never_gets_worse_than_untrained_never_diverges() -> None:
    lrs = [10 ** (step / 25 - 7) for step in range(200)]
    assert judged(lrs, [1.0 - step / 400 for step in range(200)]).diverges_at is None
    noisy = [1.0 + (-1) ** step / 100 for step in range(100)]
    assert judged(lrs, [*noisy, *([0.5] * 100)]).diverges_at is None


def test_it_diverges_where_it_is_worse_than_untrained_after_its_best() -> None:
    lrs = [10 ** (step / 25 - 7) for step in range(200)]
    assert judged(lrs, [1.0] * 50 + [0.5] * 100 + [9.0] * 50).diverges_at == lrs[150]
    cut = judged(lrs, [1.0] * 50 + [0.5] * 100 + [math.nan])
    assert cut.diverges_at == lrs[150]
    assert len(cut.lrs) == len(cut.losses) == 150


@pytest.mark.parametrize(
    ("diverges_at", "rates"),
    [
        (0.1, (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
        (0.0599, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
        (0.003, (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)),
        (0.7, (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    ],
)
def test_rates_are_a_factor_of_three_apart(diverges_at: float, rates: tuple[float, ...]) -> None:
    assert RangeTest((), (), diverges_at).proposed() == rates


def test_every_limit_has_five_rates() -> None:
    for diverges_at in (None, 10.0, 1.0, 1e-3, 1e-5):
        assert len(RangeTest((), (), diverges_at).proposed()) >= 5
