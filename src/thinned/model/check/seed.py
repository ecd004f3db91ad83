"""One beginning for all random numbers of a check, so that its findings are the model's and not the moment's."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed(model: torch.nn.Module, number: int = 0) -> None:
    """Seed what the model may draw from: the generators of `random`, of NumPy, and torch's of the CPU and its GPUs.

    Other GPUs' generators, which nobody would put back, are left alone.
    """
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002  models draw from this one
    torch.default_generator.manual_seed(number)
    tensors = (*model.parameters(), *model.buffers())
    for device in sorted({tensor.device.index or 0 for tensor in tensors if tensor.is_cuda}):
        torch.cuda.default_generators[device].manual_seed(number)
