"""From rows to what a network takes: each seed's rows prepared from its own training rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import Dataset
from ..data.fit import fit
from ..data.parts import SeedRows
from ..data.prepare import Preparation
from ..data.words import FIRST, WordsPlan
from .fold import Fold


@dataclass(frozen=True)
class Prepared:
    """A seed's rows as arrays, and what was learnt from its training rows to make them."""

    fold: Fold
    preparation: Preparation


def prepared(data: Dataset, part: SeedRows, plan: WordsPlan | None = None) -> Prepared:
    """The rows of `part` as a network takes them.

    Fills, means, scales, levels and words, and for regression the target's mean and deviation, come from the training
    rows. `plan` says how a column of texts is read.
    """
    preparation = fit(data.features.iloc[part.train], data.pixels, plan)
    y: NDArray[np.int64] | NDArray[np.float32]
    if data.task == "regression":
        mean, scale = float(data.y[part.train].mean()), float(data.y[part.train].std()) or 1.0
        y = ((data.y - mean) / scale).astype(np.float32)
    else:
        mean, scale, y = 0.0, 1.0, data.y.astype(np.int64)
    x_train, x_val, x_test = (preparation(data.features.iloc[rows]) for rows in (part.train, part.val, part.test))
    return Prepared(
        Fold(
            x_train=x_train,
            y_train=y[part.train],
            x_val=x_val,
            y_val=y[part.val],
            x_test=x_test,
            y_test=y[part.test],
            val_rows=part.val,
            test_rows=part.test,
            outputs=len(data.classes),
            mean=mean,
            scale=scale,
            words=0 if plan is None or not plan.length else plan.slots + FIRST,
            length=0 if plan is None else plan.length,
            stretch=data.stretch,
        ),
        preparation,
    )
