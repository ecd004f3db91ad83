"""Noise on sparse COO tensors: the stored values have the mask that they have in the dense tensor.

A sparse gradient of an embedding needs this. The noise of rows that are not stored is not computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise.law import BERNOULLI_DOMAIN, LEVELS, UNIFORM_DOMAIN
from . import eager
from .argument import check_call
from .rate import unpacked


def _drop(x: Tensor, key: Tensor, law: Tensor, linear: bool, strides: Sequence[int], base: int) -> Tensor:
    check_call("drop", x, key, law, strides)
    threshold, scale, *_ = unpacked(law, True)  # `drop` refuses a law that moves zeros
    x = x.coalesce()
    y = eager.widened(x.values()) * scale
    if threshold >= LEVELS:
        y.zero_()
    else:
        below = eager.field_at(
            _positions(x, strides, base), key, 8, BERNOULLI_DOMAIN, lambda words: eager.halves_below(words, threshold)
        )
        y.masked_fill_(below, 0.0)
    return _stored(x, y)


def _gaussian(x: Tensor, key: Tensor, law: Tensor, linear: bool, strides: Sequence[int], base: int) -> Tensor:
    check_call("gaussian", x, key, law, strides)
    x, sigma = x.coalesce(), eager.checked_deviation(law)
    y = eager.widened(x.values())
    if sigma == math.inf:
        return _stored(x, torch.zeros_like(y))
    factor = (
        eager.field_at(_positions(x, strides, base), key, 4, UNIFORM_DOMAIN, eager.box_muller).mul_(sigma).add_(1.0)
    )
    return _stored(x, y * factor.to(y.real.dtype if y.is_complex() else y.dtype))


def _positions(x: Tensor, strides: Sequence[int], base: int) -> Tensor:
    """The position of each stored value, with size 1 along shared axes of the values."""
    indices, values = x.indices(), x.values()
    dense = values.ndim - 1
    total = torch.full((len(values),), base, dtype=torch.int64, device=values.device)
    for index, stride in zip(indices, strides, strict=False):
        total += index * stride
    total = total.reshape(-1, *(1,) * dense)
    for axis, stride in enumerate(strides[len(indices) :], 1):
        size = values.shape[axis] if stride else 1
        total = total + (torch.arange(size, device=values.device) * stride).reshape(-1, *(1,) * (dense - axis))
    return total


def _stored(x: Tensor, values: Tensor) -> Tensor:
    """A tensor like `x` with other values."""
    return torch.sparse_coo_tensor(x.indices(), values.to(x.dtype), x.shape, is_coalesced=True, check_invariants=False)


_library = torch.library.Library("thinned", "IMPL")
for _device in ("CPU", "CUDA"):
    _library.impl("drop", _drop, f"Sparse{_device}")
    _library.impl("gaussian", _gaussian, f"Sparse{_device}")
