"""By how much noise makes the variance that enters a batch normalisation differ between training and inference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..._torch import BatchNorm
from ..known.functions import canonical
from ..watch.callsite import transparent
from ..watch.generators import seed
from ..watch.running import Running
from ..watch.untouched import untouched

Module = torch.nn.Module

MASKS = 8
LEAST = 4  # passes in which a batch normalisation that chance leaves out must have run
MOST = 64


@dataclass(frozen=True, slots=True)
class Shift:
    """What a batch normalisation sees."""

    ratio: float  # variance at inference over that in training: the median over its channels
    error: float  # standard error, by the jackknife over masks


def variance_shift(
    model: Module, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> dict[str, Shift]:
    """Of each batch normalisation, by the name of the module that calls it, Var at inference / Var in training.

    Per channel, the variance over the batch (and positions) of the example, with noise and averaged over 8 masks,
    against that without noise. Other batch normalisations use the batch's own statistics in both, so noise is all that
    differs. Right before the normalisation it is `q v / (v + p c^2)` for inputs of mean c and variance v. Of one that
    chance leaves out, as LayerDrop does, the masks are those of the passes in which it ran, 4 at least.

    The model is left as it was. Cost: 9 forward passes; where one that has run in those ran less than 4 times, up to 56
    more. Source: Li, Chen, Hu and Yang 2019; `docs/design/theory.md`.

    >>> net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(64))
    >>> round(variance_shift(net, [torch.randn(512, 64)])["1"].ratio, 1)  # q, as the mean is 0
    0.5
    """
    args, kwargs = tuple(args), dict(kwargs or {})
    with untouched("variance_shift", model), torch.no_grad():
        model.eval()
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.train()
        seed(0)  # the same model, the same figures
        still = _variances(model, args, kwargs)
        model.train()
        runs: dict[str, list[Tensor]] = {}
        for number in range(MOST):
            if number >= MASKS and all(len(found) >= LEAST for found in runs.values()):
                break
            for name, variance in _variances(model, args, kwargs).items():
                if name in still and variance.shape == still[name].shape:
                    runs.setdefault(name, []).append(variance)
    shifts = {}
    for name, found in runs.items():
        quiet, each = still[name], torch.stack(found)
        if len(found) < LEAST:
            continue
        alive = (quiet > 0) & ((each > 0).sum(0) > 1)
        if bool(alive.any()):
            shifts[name] = _shift(quiet[alive], each[:, alive])
    return shifts


def _shift(quiet: Tensor, runs: Tensor) -> Shift:
    """The median ratio over channels, and the spread of those with one mask left out."""
    total, count = runs.sum(0), len(runs)
    left_out = ((count - 1) * quiet / (total - runs)).median(1).values
    error = math.sqrt((count - 1) * float(left_out.var(correction=0)))
    return Shift((count * quiet / total).median().item(), error)


def _variances(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    watch = _VarianceMode(model)
    with ExitStack() as stack:
        stack.enter_context(watch.running.followed())
        stack.enter_context(watch)
        model(*args, **kwargs)
    return watch.variances


class _VarianceMode(TorchFunctionMode):
    """Notes the variance of each channel that enters a batch normalisation."""

    def __init__(self, model: Module) -> None:
        super().__init__()
        self.running = Running(model)
        self.variances: dict[str, Tensor] = {}

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if canonical(func) == "batch_norm" and args and isinstance(args[0], Tensor) and args[0].ndim > 1:
            channels = args[0].double().movedim(1, 0).flatten(1)
            if channels.shape[1] > 1:
                self.variances[self.running.name] = channels.var(1)
        return func(*args, **(kwargs or {}))
