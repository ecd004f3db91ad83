"""scikit-learn's own checks of an estimator, every one, with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sklearn.utils.estimator_checks import check_array_api_input, estimator_checks_generator

from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor

SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (16,),
    "p": 0.1,
    "lr": 1e-2,
    "batch_size": 64,
    "max_epochs": 30,
    "n_samples": 5,
}
ESTIMATORS = [DropoutClassifier(**SMALL), DropoutRegressor(**SMALL)]
ELSEWHERE = check_array_api_input  # wants SCIPY_ARRAY_API=1 before SciPy is imported, or it skips


def checks() -> Iterator[Any]:
    for estimator in ESTIMATORS:
        for one, check in estimator_checks_generator(estimator):
            said = ",".join(f"{name}={value}" for name, value in getattr(check, "keywords", {}).items())
            check_itself = check.func if isinstance(check, partial) else check
            if check_itself is not ELSEWHERE:
                yield pytest.param(one, check, id=f"{type(one).__name__}-{check_itself.__name__}({said})")


@pytest.mark.long
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learns_own_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.long
def test_the_check_with_array_api_dispatch() -> None:
    """In a process of its own, where scikit-learn does not skip it."""
    script = f"""
from functools import partial
from sklearn.utils.estimator_checks import check_array_api_input, estimator_checks_generator
from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor
for kind in (DropoutClassifier, DropoutRegressor):
    for estimator, check in estimator_checks_generator(kind(**{SMALL!r})):
        if isinstance(check, partial) and check.func is check_array_api_input:
            check(estimator)
            print(kind.__name__)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["DropoutClassifier", "DropoutRegressor"]
