"""The shape of a tensor as plain numbers, also of nested ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The sizes of a tensor; of a nested one, those of its padded tensor.

    >>> shape_of(torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=torch.jagged))
    (2, 3, 4)
    """
    if not tensor.is_nested:
        return tuple(tensor.shape)
    if _is_empty_form(tensor):
        return (0,)
    rows = [row.shape for row in tensor.unbind()]
    return len(rows), *(max(sizes) for sizes in zip(*rows, strict=True))


def stored(tensor: Tensor) -> Tensor:
    """The numbers that a tensor has: of a nested one, all rows without padding."""
    if not tensor.is_nested:
        return tensor
    empty = _is_empty_form(tensor) or not tensor.numel()
    return torch.zeros(0) if empty else torch.cat([row.flatten() for row in tensor.unbind()])


def _is_empty_form(tensor: Tensor) -> bool:
    """Whether a nested tensor has no rows at all: the one that torch itself passes about while it makes another."""
    jagged: Any = tensor
    return tensor.layout == torch.jagged and bool(jagged.offsets().is_meta)
