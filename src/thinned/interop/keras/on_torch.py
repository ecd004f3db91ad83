"""The noise on torch: the operators of `thinned.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ... import ops
from ...noise.philox import FOLD_IN_DOMAIN
from ...noise.place import Placement
from ...ops.fold import fold_in as fold_tensor
from ...ops.fold import fold_number
from ...ops.philox import philox_words, signed
from .noise_shape import shared_axes

_LOW = 0xFFFFFFFF


def key(number: int) -> Tensor:
    """A key: a 0-dim int64 tensor."""
    return torch.tensor(signed(number), device="cpu")


def is_key(given: Any) -> bool:
    """Whether this is a key as `key` makes it."""
    return isinstance(given, Tensor) and given.dtype == torch.int64 and given.ndim == 0


def key_of(state: Tensor) -> Tensor:
    """The key of a call: `fold_in(seed, count)`, of a state of Keras's seed generators."""
    if state.device.type == "cpu" and not torch.compiler.is_compiling():
        seed, count = (int(word) & _LOW for word in state.tolist())
        return key(fold_number(seed, count))
    words = state.to(torch.int64) & _LOW  # no wait for the device, and no number in a compiled graph
    low, high, *_ = philox_words(words[1:], words[:1], FOLD_IN_DOMAIN)
    child: Tensor = (low | high << 32)[0]
    return child


def fold_in(parent: Tensor, n: int) -> Tensor:
    """A child key."""
    return fold_tensor(parent, n)


def number(given: Tensor) -> int:
    """A key as an int."""
    return int(given) % 2**64


def drop(x: Tensor, given: Tensor, p: float, law: str, noise_shape: Sequence[Any]) -> Tensor:
    """What a unit becomes by a law of `noise.formulas`."""
    return ops.drop(x, p, key=given, law=law, broadcast_dims=shared_axes(x, noise_shape), batch_dim=None)


def gaussian(x: Tensor, given: Tensor, deviation: float, noise_shape: Sequence[Any]) -> Tensor:
    """`x * (1 + deviation * n)`, n standard normal."""
    if deviation == float("inf"):
        return torch.zeros_like(x)
    return ops.gaussian(x, deviation, key=given, broadcast_dims=shared_axes(x, noise_shape), batch_dim=None)


def mask(given: Tensor, p: float, where: Placement) -> Tensor:
    """True where a unit is kept, at any place of a whole."""
    if p == 0:
        return torch.ones(where.shape, dtype=torch.bool, device="cpu")
    law = ops.rate.packed("inverted", p, "bernoulli")
    strides = [signed(stride) for stride in where.strides]
    result: Tensor = torch.ops.thinned.drop(
        torch.ones(where.shape, device="cpu"), given.cpu(), law, False, strides, signed(where.base)
    )
    return result != 0


def shape_of(x: Tensor) -> list[Any]:
    """The sizes."""
    return list(x.shape)
