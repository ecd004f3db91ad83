"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def training_loss(output: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of logits for classes (int64), else the mean squared error of values, for `y` of any shape.

    >>> training_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    if y.dtype == torch.int64:
        return functional.cross_entropy(output, y)
    return functional.mse_loss(output.view_as(y), y)
