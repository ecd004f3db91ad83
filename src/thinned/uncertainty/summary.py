"""Summarises all samples of some rows in one `Prediction`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .prediction import Prediction, binary_entropy, entropy

ALIVE = 4  # how many copies of all samples' answers exist at once in a summary


def summary(
    drawn: Tensor, levels: tuple[float, ...], *, task: str, keep: bool, class_axis: int = 1, **facts: Any
) -> Prediction:
    """The statistics of values `(samples, rows, ...)`; `facts` are the other fields of the prediction."""
    votes = doubt = None
    if task == "classification":
        axis = class_axis + 1
        chosen = torch.nn.functional.one_hot(drawn.argmax(axis), drawn.shape[axis]).sum(0)
        votes = chosen.movedim(-1, class_axis).float().cpu()
        doubt = entropy(drawn, axis).mean(0).cpu()
    elif task == "multilabel":
        votes = (drawn > 0.5).sum(0).float().cpu()
        doubt = binary_entropy(drawn).mean(0).cpu()
    mean = drawn.mean(0)
    # torch's own std over the first axis takes ten times as long.
    variance = (drawn - mean).square_().sum(0) / max(1, len(drawn) - 1)
    return Prediction(
        mean=mean.cpu(),
        std=variance.sqrt().cpu(),
        quantiles=_quantiles(drawn, levels).cpu(),
        levels=levels,
        task=task,
        samples=drawn.cpu() if keep else None,
        sampled_entropy=doubt,
        votes=votes,
        class_axis=class_axis,
        **facts,
    )


def _quantiles(drawn: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Quantiles over the samples, linear between two. torch.quantile refuses more than 16 million numbers."""
    if drawn.device.type == "cpu":  # by NumPy, whose sort takes a tenth of torch's time
        ordered = torch.from_numpy(np.sort(drawn.numpy(), 0))
    else:
        ordered = drawn.sort(0).values
    at = torch.tensor(levels, dtype=drawn.dtype, device=drawn.device) * (len(drawn) - 1)
    low = at.floor().long()
    high = (low + 1).clamp_max(len(drawn) - 1)
    weight = (at - low).reshape(-1, *(1,) * (drawn.ndim - 1))
    return ordered[low].lerp(ordered[high], weight.expand_as(ordered[low]))
