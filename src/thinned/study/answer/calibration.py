"""How honest a network's confidence is, from what a trial kept of each test row."""

from __future__ import annotations

import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from ..record import Task
from .trial import Score

BINS = 15


def calibration(score: Score, task: Task) -> float:
    """The expected calibration error (15 bins), or how far the 95 % prediction interval's coverage is from 0.95."""
    if task == "regression":
        return abs(float(score.row_sure.mean()) - 0.95)
    # A trial keeps whether each row is right and the probability of its predicted class: all that this depends on.
    # The predicted class is called 0 here, and the true one 0 or 1.
    sure = torch.from_numpy(score.row_sure)
    predicted = torch.stack([sure, torch.zeros_like(sure)], dim=1)
    wrong = torch.from_numpy(score.row_error).long()
    return float(multiclass_calibration_error(predicted, wrong, num_classes=2, n_bins=BINS, norm="l1"))
