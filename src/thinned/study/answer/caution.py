"""What a reader must know before the answer: figures that mean less, or more, than they seem to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..record import Study
from ..trial.fold import Fold
from .conclude import Conclusion
from .heavy import heavy

MAJORITY = 0.8  # of the test rows in one class: an error is small then whatever a network has learnt
FEW = 300  # test rows, on which an error of 0 says little


def cautions(study: Study, found: Conclusion, folds: Mapping[int, Fold]) -> list[str]:
    """Sentences for the report's first lines."""
    plain = found.plain.standing
    truth = np.concatenate([folds[min(split)].y_test for split in plain.splits])
    said: list[str] = []
    if study.task == "classification":
        share = float(np.bincount(truth.astype(np.int64)).max() / len(truth))
        if share > MAJORITY and study.metric == "error":
            name = study.classes[int(np.bincount(truth.astype(np.int64)).argmax())]
            said.append(
                f"{100 * share:.1f} % of the test rows are of class {name}: always answering {name} is wrong on "
                f"{100 * (1 - share):.1f} %. An error near that says nothing; --metric auc, balanced-error or f1 do."
            )
        perfect = [level for level in study.levels if level.error.value == 0]
        if perfect:
            said.append(
                f"No test row of {study.rows_test:,} is wrong"
                + (": so few rows can't tell a small error from none" if study.rows_test < FEW else "")
                + ". Look for a column that would not be known when a prediction is made."
            )
    elif heavy(plain.rows("rmse")):
        said.append(
            "The RMSE hangs on few rows: the 5 % with the largest errors carry more than 40 % of it. Its interval is "
            "not to be trusted; the mean absolute error stands beside it (--metric mae lets that decide)."
        )
    return said


def listed_failures(failures: Mapping[str, str]) -> list[str]:
    """Failed runs, a sentence each."""
    return [f"{name} failed: {reason}" for name, reason in failures.items()]
