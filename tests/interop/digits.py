"""The digits that scikit-learn ships, as a data set of rows and classes."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor


def digits(count: int = 320) -> tuple[Tensor, Tensor]:
    """`(count, 64)` in [0, 1], and the classes."""
    data = load_digits()
    return torch.tensor(data.data[:count], dtype=torch.float32) / 16, torch.tensor(data.target[:count])
