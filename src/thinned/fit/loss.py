"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def training_loss(output: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """The cross-entropy of logits for classes (int64), else the mean squared error of values, for `y` of any shape.

    With weights it is `(1/N) sum_i w_i loss_i`: their own mean is not divided by.

    >>> training_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    >>> training_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]), torch.tensor([1.5, 0.5]))
    tensor(1.)
    """
    classes = y.dtype == torch.int64
    if weights is None:
        return functional.cross_entropy(output, y) if classes else functional.mse_loss(output.view_as(y), y)
    if classes:
        return (weights * functional.cross_entropy(output, y, reduction="none")).mean()
    return (weights * (output.view_as(y) - y).square().reshape(len(y), -1).mean(1)).mean()
