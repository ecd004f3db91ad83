"""Batch normalisation's running statistics, estimated again with dropout off: the cure for the variance shift."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..._torch import BatchNorm
from ...fit.device import on_device
from ...nn.names import Module, named_modules, unwrapped
from ...noise import Integer, check
from ..quiet.freeze import is_frozen
from ..watch.eager import eager
from ..watch.untouched import check_module
from .pooled import Pooled

BATCHES = Integer(1, 2**63 - 1, "[1, 2**63)")


@torch.no_grad()
def recalibrate_batchnorm(
    model: Module,
    loader: Iterable[Any],
    *,
    batches: int | None = None,
    forward: Callable[[Module, Any], Any] | None = None,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """Estimate the running statistics of batch normalisation again, with dropout off.

    In training, the layers behind a dropout see noisy values, and remember their variance; at inference they meet clean
    ones (docs/design/theory.md, "Beside normalisation layers"). Call this after training, with training data. Layers
    are put in training mode, so that each normalises by its batch, and all else in eval mode. A layer's new mean and
    variance are those of all values that it has read, as if they had been one batch: the variance within batches and
    between them. (`momentum=None` and a pass over the data would give the mean of the batches' variances, which leaves
    out the second.) Batches as large as in training, or larger, are best, for what reaches the later layers depends on
    the batch.

    Afterwards `num_batches_tracked` is the number of batches that a layer has read, as after `reset_running_stats`;
    modes, momentum and all else are as before. After an exception nothing has changed.

    Arguments:
        model: with batch normalisation that keeps running statistics. Layers under `thinned.freeze` stay as they are,
            and so do those that the data do not reach.
        loader: batches: a tensor; a tuple or list, of which the first is the input; a mapping, of arguments by name.
            For a progress bar wrap it, `tqdm(loader)`.
        batches: at most how many; None is all.
        forward: how the model is called with a batch, for other batches: `lambda model, batch: model(*batch[:2])`.
        device: where tensors of a batch are put; None is where the first of the layers is.

    Returns:
        By the layers' names, the new variance over the old, a median over the channels that vary: the shift that there
        was. Below 1 the old one had noise in it.

    Raises:
        ValueError: no such layer, or one not initialised; no batch; a batch of one value a channel; inf or nan.
        TypeError: `model` is no module; a batch of another kind, without `forward`.

    Cost: one forward pass without gradients for each batch. In several processes, each has its own data: pass the same,
    or broadcast the buffers afterwards.

    Source: Li, Chen, Hu and Yang 2019, section 5.

    >>> norm = torch.nn.BatchNorm1d(3)
    >>> model = torch.nn.Sequential(torch.nn.Dropout(0.5), norm)
    >>> recalibrate_batchnorm(model, torch.tensor([[2.0], [4.0], [6.0], [8.0]]).expand(4, 3).split(2))
    {'1': 6.666666666666667}
    >>> norm.running_mean, norm.running_var
    (tensor([5., 5., 5.]), tensor([6.6667, 6.6667, 6.6667]))
    """
    check_module("recalibrate_batchnorm", model)
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise TypeError(
            f"`recalibrate_batchnorm`: `loader` must give batches. Got {type(loader).__name__}. Pass a DataLoader, or "
            "[batch] for one."
        )
    if batches is not None:
        check(BATCHES, "recalibrate_batchnorm", "batches", batches)
    inner = unwrapped(model)
    layers = _layers(inner)
    first = next(iter(layers.values())).running_mean
    assert first is not None
    device = first.device if device is None else device
    pooled = [Pooled(name, layer) for name, layer in layers.items()]
    call = forward or _call
    with _unchanged_on_errors(layers.values()), eager():
        with _only_training(inner, list(layers.values())):
            hooks = [statistics.layer.register_forward_pre_hook(statistics) for statistics in pooled]
            try:
                for batch in islice(loader, batches):
                    call(inner, on_device(batch, device))
            finally:
                for hook in hooks:
                    hook.remove()
        found = {statistics.name: statistics for statistics in pooled if statistics.calls}
        if not found:
            raise ValueError(
                "`recalibrate_batchnorm`: `loader` must give batches that reach the model's batch normalisation. Got "
                f"none for {', '.join(layers)}. Was the loader a generator, and is it exhausted?"
            )
        # What the layers themselves have noted of the batches is overwritten; layers that read none noted nothing.
        return {name: statistics.store() for name, statistics in found.items()}


def _layers(model: Module) -> dict[str, BatchNorm]:
    """The layers that keep running statistics and are not frozen."""
    every = {name: module for name, module in named_modules(model) if isinstance(module, BatchNorm)}
    kept = {name: layer for name, layer in every.items() if layer.running_mean is not None and not is_frozen(layer)}
    for name, layer in kept.items():
        if torch.nn.parameter.is_lazy(layer.running_mean):  # type: ignore[arg-type]
            raise ValueError(
                f"`recalibrate_batchnorm`: layers must be initialised. Got {name}, which is not. Run the model once."
            )
    if not kept:
        others = f" (frozen, or without running statistics: {', '.join(every)})" if every else ""
        raise ValueError(
            "`recalibrate_batchnorm`: `model` must have batch normalisation with running statistics. "
            f"Got {type(model).__name__}, which has none{others}. There is nothing to do for it."
        )
    return kept


@contextlib.contextmanager
def _only_training(model: Module, layers: list[BatchNorm]) -> Iterator[None]:
    """Only these are in training mode. Set without `train()`, whose overrides do other things besides."""
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def _unchanged_on_errors(layers: Iterable[BatchNorm]) -> Iterator[None]:
    saved = [(buffer, buffer.clone()) for layer in layers for buffer in layer.buffers(recurse=False)]
    try:
        yield
    except BaseException:
        for buffer, value in saved:
            buffer.copy_(value)
        raise


def _call(model: Module, batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return model(batch)
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor | Mapping):
        return _call(model, batch[0])
    raise TypeError(
        "`recalibrate_batchnorm`: a batch must be a tensor, a tuple or list with one in front, or a mapping. "
        f"Got {type(batch).__name__}. Pass `forward`, a function of the model and the batch."
    )
