"""A batch moved to a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def on_device(batch: Any, device: torch.device | str | None) -> Any:
    """The batch with its tensors on the device; None leaves them where they are.

    Tensors are found in tuples, lists and mappings, however deep. Tuples stay tuples, named ones too; mappings become
    dictionaries. All else is passed on as it is, other classes of tuples and lists included.

    >>> on_device({"x": [torch.ones(2), "text"]}, "meta")
    {'x': [tensor(..., device='meta', size=(2,)), 'text']}
    """
    if isinstance(batch, Tensor):
        return batch if device is None else batch.to(device)
    if isinstance(batch, PackedSequence):
        return batch if device is None else batch.to(device)  # type: ignore[arg-type]
    if isinstance(batch, Mapping):
        return {name: on_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(on_device(value, device) for value in batch))
    if type(batch) in (tuple, list):
        return type(batch)(on_device(value, device) for value in batch)
    return batch
