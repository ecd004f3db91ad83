"""Tables to cut: scikit-learn's own, and files of them."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import sklearn.datasets

from thinned.study.data.dataset import Dataset

Name = Literal["wine", "breast_cancer", "diabetes", "iris", "digits"]


def frame(name: Name) -> pd.DataFrame:
    """Features, and the target as `target`, classes as text."""
    found = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    table: pd.DataFrame = found.frame
    return table if name == "diabetes" else table.assign(target=[f"c{number}" for number in table["target"]])


def dataset(name: Name) -> Dataset:
    table = frame(name)
    if name == "diabetes":
        return Dataset(name, "s", "regression", "target", table.drop(columns="target"), table["target"].to_numpy())
    classes, codes = np.unique(table["target"].to_numpy(dtype=str), return_inverse=True)
    return Dataset(
        name,
        "s",
        "classification",
        "target",
        table.drop(columns="target"),
        codes.astype(np.int64),
        tuple(classes.tolist()),
    )


def csv(path: Path, table: pd.DataFrame) -> Path:
    table.to_csv(path, index=False)
    return path
