"""Summarises all samples of some rows in one `Prediction`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .prediction import Prediction, entropy

ALIVE = 4  # how many copies of all samples' answers exist at once in a summary


def outputs(raw: Tensor, task: str, temperature: float) -> Tensor:
    """The values to summarise, of answers `(samples, rows, ...)`: the numbers themselves, or the softmax of logits."""
    raw = raw.float()
    if task == "regression":
        return raw
    raw = raw / temperature
    if raw.ndim < 3:
        raw = raw.reshape(*raw.shape[:2], 1)
    if raw.shape[2] == 1:  # one logit: that of the second class
        second = raw.sigmoid()
        return torch.cat((1.0 - second, second), 2)
    return raw.softmax(2)


def summary(drawn: Tensor, levels: tuple[float, ...], *, task: str, keep: bool, **facts: Any) -> Prediction:
    """The statistics of values `(samples, rows, ...)`; `facts` are the other fields of the prediction."""
    votes = None
    if task == "classification":
        votes = torch.nn.functional.one_hot(drawn.argmax(2), drawn.shape[2]).sum(0).movedim(-1, 1).float().cpu()
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
        sampled_entropy=entropy(drawn, 2).mean(0).cpu() if votes is not None else None,
        votes=votes,
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
