"""Measures the variance shift: the input variance of a batch normalisation at inference over the one in training."""

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
from ...nn.names import named_modules
from ..known.functions import canonical
from ..watch.callsite import transparent
from ..watch.modes import set_mode
from ..watch.private_noise import seed
from ..watch.running import Running
from ..watch.untouched import untouched

Module = torch.nn.Module

MASKS = 8  # passes in training mode, if every batch normalisation ran often enough in them
LEAST = 4  # a batch normalisation that is skipped at random is measured only if it ran in this many passes
MOST = 64  # passes in training mode


@dataclass(frozen=True, slots=True)
class Shift:
    """The variance shift of one batch normalisation: right after dropout of p = 0.5 on mean 0, the ratio is 0.5."""

    ratio: float  # variance at inference over variance in training: the median over the channels
    error: float  # standard error of `ratio`, by the jackknife over passes


def variance_shift(
    model: Module, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> dict[str, Shift]:
    """For each batch normalisation: the variance of its input at inference over the variance in training.

    The variance of a channel is taken over the batch and the positions of the example. In training it is the average
    over 8 passes with fresh masks. In both modes every batch normalisation normalises by its batch, so that noise is
    the only difference. With dropout of inputs of mean c and variance v right before the batch normalisation, the ratio
    is `q v / (v + p c^2)`. A batch normalisation that is skipped at random, as by LayerDrop, is averaged over the
    passes in which it ran; it must have run at least 4 times.

    Returns:
        The shifts, by the name of the module that calls `batch_norm`. The model is left as it was. No other thread may
        use it meanwhile.

    Cost: 9 forward passes. If a batch normalisation ran in only 1 to 3 of the first 8 training passes, up to 56 more.

    Source: Li, Chen, Hu and Yang 2019; `docs/design/theory.md`.

    >>> net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(64))
    >>> round(variance_shift(net, [torch.randn(512, 64)])["1"].ratio, 1)  # q, as the mean is 0
    0.5
    """
    args, kwargs = tuple(args), dict(kwargs or {})
    with untouched("variance_shift", model), torch.no_grad():
        set_mode(model, False)
        for _, module in named_modules(model):
            if isinstance(module, BatchNorm):
                set_mode(module, True)
        seed(0)  # so that the same model gives the same figures
        still = _variances(model, args, kwargs)
        set_mode(model, True)
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
    """The median ratio over the channels, and its jackknife error: from the medians with one training pass left out."""
    total, count = runs.sum(0), len(runs)
    left_out = ((count - 1) * quiet / (total - runs)).median(1).values
    error = math.sqrt((count - 1) * float(left_out.var(correction=0)))
    return Shift((count * quiet / total).median().item(), error)


def _variances(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """The input variances of the batch normalisations in one forward pass, by module: one value a channel."""
    watch = _VarianceMode(model)
    with ExitStack() as stack:
        stack.enter_context(watch.running.followed())
        stack.enter_context(watch)
        model(*args, **kwargs)
    return watch.variances


class _VarianceMode(TorchFunctionMode):
    """Records the variance of each channel of the input of every batch normalisation."""

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
