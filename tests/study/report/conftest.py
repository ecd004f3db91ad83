"""Two small real studies, run once a session: the pages under test are made from what networks really did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from thinned.study import Dataset, run_study
from thinned.study.dataset import images

BUNDLED = "scikit-learn's bundled data"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classification, three rates, three seeds."""
    folder: Path = tmp_path_factory.mktemp("digits") / "thinned-study"
    pixels, labels = load_digits(return_X_y=True)
    data = images("Handwritten digits", BUNDLED, (pixels * 15.9375).astype(np.uint8), labels)  # 0..16 to 0..255
    run_study(data, out=folder, seeds=3, ps=(0, 0.3, 0.6), lrs=(0.004, 0.016), epochs=8, hidden=(64,), train_rows=200)
    return folder


@pytest.fixture(scope="session")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regression, with names that would break out of a page or a formula."""
    folder: Path = tmp_path_factory.mktemp("diabetes") / "thinned-study"
    table = load_diabetes(as_frame=True)
    data = Dataset(
        title="Diabetes <script>alert(1)</script>",
        source=BUNDLED,
        task="regression",
        target="cost <$ & $>",
        features=table.data,
        y=table.target.to_numpy(np.float64),
    )
    run_study(data, out=folder, seeds=2, ps=(0, 0.2), lrs=(0.004, 0.016), epochs=8, hidden=(64,))
    return folder
