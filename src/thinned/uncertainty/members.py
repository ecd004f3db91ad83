"""Several networks trained for one task, and the thinned networks of each: how much all of them differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..noise import fold_in
from .answer import Meaning
from .live import Rates
from .networks import weight_scaling
from .prediction import Prediction, joined
from .predictor import LEVELS, Predictor
from .summary import summary

Module = torch.nn.Module
ROWS = 1024  # that are predicted at once


def predict_members(
    models: Sequence[Module],
    inputs: Sequence[Tensor],
    n: int,
    *,
    seed: int = 0,
    task: str = "regression",
    p: Rates = None,
    levels: Sequence[float] = LEVELS,
    units: Sequence[tuple[float, float]] | None = None,
) -> Prediction:
    """Predict with several networks, and with n thinned networks spread over them.

    Arguments:
        models: networks for one task, such as those of several seeds.
        inputs: the same rows for each network, `(rows, features of this network)`.
        n: how many thinned networks, rounded up to the same number for each network. 0 means that nothing is dropped:
            each network answers once, as in evaluation mode.
        seed, task, levels: as in `predict`.
        p: as in `predict`, for every network.
        units: `(mean, scale)` for each network, whose one output becomes the number `output * scale + mean`.

    Raises: as `predict`.

    Statistics are float64: numbers of a target may be large, and differ little.
    """
    each, meaning = -(-n // len(models)), Meaning("predict", task)
    samplers = [
        Predictor(model, each, seed=fold_in(seed, number), p=p, levels=(0.5,), samples=True)
        for number, model in enumerate(models)
        if each
    ]
    parts = []
    for start in range(0, len(inputs[0]), ROWS):
        rows = [x[start : start + ROWS] for x in inputs]
        drawn: list[Tensor] = []
        facts: dict[str, Any] = {"places": (), "engine": "each network once"}
        for number, x in enumerate(rows):
            if each:
                found = samplers[number](x, first_row=start, progress=False)
                assert found.samples is not None
                raw = found.samples
                facts = {"places": found.places, "engine": found.engine}
            else:
                raw = weight_scaling(models[number], x)[None]
            answers = meaning.values(raw, 1, 1.0).double()
            if units is not None:
                mean, scale = units[number]
                answers = answers.squeeze(-1) * scale + mean
            drawn.append(answers)
        values = torch.cat(drawn)
        parts.append(summary(values, tuple(levels), task=task, keep=False, n=len(values), seed=seed, **facts))
    return joined(parts)
