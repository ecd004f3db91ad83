"""The arguments of a model's calls, made from `x` batch by batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from ..fit.device import on_device
from ..model.watch.example import Arguments, arguments
from ..model.watch.private_noise import PrivateNoise
from ..model.watch.recorder import tensors_of
from .refused import check_input

Module = torch.nn.Module


def batches(
    model: Module,
    x: Any,
    inputs: Callable[[Any], Any] | None,
    device: Any,
    progress: bool | None,
    noise: PrivateNoise,
) -> Iterator[tuple[Any, Any]]:
    """The arguments of each call of the model, one call a batch; the batches of a DataLoader are counted on stderr.

    A DataLoader draws its order, and what its data set draws, from `noise`.
    """
    where = device
    if where is None:
        where = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    if inputs is not None and not callable(inputs):
        raise TypeError(
            f"`predict`: `inputs` must be a function of a batch. Got {inputs!r}. Pass lambda batch: batch['x']."
        )
    if isinstance(x, DataLoader):
        read = _read(x, noise)
        for batch in _counted(x, read) if (sys.stderr.isatty() if progress is None else progress) else read:
            yield _arguments(model, (inputs or inputs_of)(batch), where)
    elif isinstance(x, (Tensor, tuple, list, Mapping)):
        yield _arguments(model, x if inputs is None else inputs(x), where)
    else:
        raise TypeError(
            f"`predict`: `x` must be a tensor, a tuple or dict of tensors, or a DataLoader. Got {type(x).__name__}. "
            "For an array pass torch.as_tensor(x, dtype=torch.float32)."
        )


def inputs_of(batch: Any) -> Any:
    """The part of a batch that the model is called with: a dict without labels, or the first item of a sequence."""
    if isinstance(batch, Mapping):
        return {name: value for name, value in batch.items() if name not in ("label", "labels")}
    return batch[0] if isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence) else batch


def _arguments(model: Module, x: Any, device: Any) -> Arguments:
    check_input(x)
    return arguments(model, on_device(x, device))


def _read(loader: DataLoader[Any], noise: PrivateNoise) -> Iterator[Any]:
    end = object()
    with noise.given():
        batches = iter(loader)
    while True:
        with noise.given():
            batch = next(batches, end)
        if batch is end:
            return
        yield batch


def _counted(loader: DataLoader[Any], read: Iterator[Any]) -> Iterator[Any]:
    total = f" of {len(loader)}" if hasattr(loader.dataset, "__len__") else ""
    for number, batch in enumerate(read, 1):
        print(f"\rpredict: batch {number}{total}", end="", file=sys.stderr)  # noqa: T201
        yield batch
    print(file=sys.stderr)  # noqa: T201


def batch_size(args: Any, kwargs: Any) -> int:
    """The number of rows: the size of axis 0 in the first tensor where that is not 0."""
    for tensor in tensors_of((args, kwargs)):
        if tensor.ndim and tensor.shape[0]:
            return int(tensor.shape[0])
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_of((args, kwargs)))
    raise TypeError(
        f"`predict`: `x` must hold a tensor with rows on axis 0. Got {f'the shape {shapes}' if shapes else 'none'}. "
        "Pass x[None] for a single row, and leave out batches without rows."
    )
