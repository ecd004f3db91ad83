"""`thinned.recalibrate_batchnorm`: estimate running statistics with dropout off, to cure the variance shift."""

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

    In training, a batch normalisation after a dropout reads noisy values, and its running variance includes the noise.
    At inference it reads values without noise, whose variance is smaller (docs/design/theory.md, "Beside normalisation
    layers"). Call this function after training, with training data. It puts the batch normalisation layers in training
    mode, so that each normalises by its batch, and all other modules in eval mode. A layer's new statistics are the
    mean and variance of all values that it has read, as if they were one batch. So the variance has two parts: within
    the batches and between their means. (A pass over the data with `momentum=None` would give the mean of the batches'
    variances, which leaves out the second part.) Take batches as large as in training, or larger: each layer normalises
    by its batch, so the inputs of the later layers depend on the batch size.

    Afterwards `num_batches_tracked` is the number of batches that the layer has read. Modes, momentum and everything
    else are as before. After an exception nothing has changed.

    Arguments:
        model: a model that has batch normalisation with running statistics. Layers that are frozen by `thinned.freeze`
            or that the data do not reach stay as they are.
        loader: an iterable of batches. A batch is a tensor; a tuple or list whose first item is the input; or a mapping
            from argument names to values. For a progress bar pass `tqdm(loader)`.
        batches: how many batches to read at most; None reads all.
        forward: a function that calls the model, for any other kind of batch:
            `lambda model, batch: model(*batch[:2])`.
        device: where the tensors of a batch are put; None is the device of the first batch normalisation.

    Returns:
        For each layer, by name: the new variance over the old one, the median over the channels whose variance is above
        epsilon. A ratio below 1 says that the old variance contained noise.

    Raises:
        ValueError: the model has no batch normalisation with running statistics that is not frozen.
        ValueError: such a layer is lazy and not initialised.
        ValueError: no batch reached a layer.
        ValueError: a batch gives a layer fewer than two values a channel.
        ValueError: a layer read inf or nan.
        TypeError: `model` is no module.
        TypeError: `loader` is a tensor or no iterable.
        TypeError: a batch is of another kind, and `forward` is not given.

    Cost: one forward pass without gradients for each batch. Processes do not exchange statistics: in distributed
    training give every process the same data, or broadcast the buffers afterwards.

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
        # The layers have updated their own running statistics during the passes. `store` overwrites them.
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
    """Inside the `with`, only these layers are in training mode.

    The attribute `training` is set without `train()`, because a class may override `train` and do other things in it.
    """
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
    """Restore the layers' buffers if the body of the `with` raises."""
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
