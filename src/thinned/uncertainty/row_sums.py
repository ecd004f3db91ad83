"""What the sums of rows tell: rows that are not negative and share one sum are probabilities, or a multiple of them."""

from __future__ import annotations

import torch
from torch import Tensor

HUNDRED, FEW, SEVERAL = 100.0, 2, 5  # different rows that share a sum: of percentages, and of any other multiple


def sums_to_one(values: Tensor, axis: int) -> bool:
    """Whether no number is negative, and all sums along the axis are 1, up to rounding."""
    slack = rounding(values)
    return bool((values >= -slack).all() and ((values.float().sum(axis) - 1.0).abs() <= slack).all())


def shared_sum(values: Tensor, axis: int) -> float | None:
    """The sum that all rows along the axis share, where it can be no chance; None elsewhere.

    Rows of logits differ, and so do their sums, even after a ReLU. So rows count that are not negative, that are not
    all alike, and whose numbers differ ten times more than rounding lets their sums differ: two such rows of sum 100,
    five of any other sum. Rows of one number beside zeros, as a table of labels has them, tell nothing.
    """
    if not bool((values >= 0).all()):
        return None
    rows = values.float().movedim(axis, -1).flatten(0, -2)
    sums = rows.sum(1)
    middle, slack = float(sums.mean()), rounding(values)
    if not 0.0 < middle < float("inf") or not bool(((sums - middle).abs() <= slack * middle).all()):
        return None
    differing = float((rows.amax(0) - rows.amin(0)).amax())
    if differing <= 10.0 * slack * middle or not bool(((rows > 0).sum(1) > 1).any()):
        return None
    hundred = abs(middle - HUNDRED) <= slack * HUNDRED
    return middle if len(rows.unique(dim=0)) >= (FEW if hundred else SEVERAL) else None


def rounding(values: Tensor) -> float:
    """By which part a sum of probabilities of this type may miss 1."""
    return max(1e-4, 2.0 * torch.finfo(values.dtype).eps) if values.is_floating_point() else 0.0
