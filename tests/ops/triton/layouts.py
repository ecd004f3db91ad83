"""Values and layouts that the kernels must get right, whoever runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thinned.noise import place
from thinned.noise.place import Placement

INVERTED = (19661, 65536 / (65536 - 19661), 0.0, 0.0)
ALPHA = (19661, 0.87, 0.31, -0.66)
TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Of all sizes; infinities, nan, -0 and subnormal numbers among them."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = (wide * torch.exp(8 * torch.randn(shape, generator=generator, dtype=torch.float64))).to(dtype)
    special = torch.tensor([torch.inf, torch.nan, -0.0, 1e-40, -torch.inf, 6e-8], dtype=torch.float64).to(dtype)
    places = x.view(-1)[: 3 * len(special) : 3]
    places.copy_(special[: len(places)])
    return x


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in every bit, but for the bits of nan."""
    integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.dtype.itemsize]
    equal = a.contiguous().view(integers) == b.contiguous().view(integers)
    return a.shape == b.shape and bool((equal | (a.isnan() & b.isnan())).all())


def unchanged(x: Tensor) -> Tensor:
    return x


# A shape, what makes a view of it, the shared axes, and where it begins in a larger whole.
Case = tuple[tuple[int, ...], Callable[[Tensor], Tensor], tuple[int, ...], int]
LAYOUTS: dict[str, Case] = {
    "a row": ((2050,), unchanged, (), 0),
    "an end that is no block": ((2051,), unchanged, (), 0),
    "one element": ((1,), unchanged, (), 0),
    "in the middle of a block": ((40,), unchanged, (), 2**32 * 8 - 3),
    "past 2^32 blocks": ((64,), unchanged, (), 2**35 - 16),
    "at 2^63": ((32,), unchanged, (), 2**63 - 8),
    "shared by time": ((4, 5, 16), unchanged, (1,), 0),
    "shared by time, rows no blocks": ((4, 5, 7), unchanged, (1,), 0),
    "a channel": ((3, 8, 24), unchanged, (2,), 0),
    "a channel, 5 of them": ((3, 5, 24), unchanged, (2,), 0),
    "a row of a batch": ((5, 24), unchanged, (1,), 0),
    "a feature for all rows": ((5, 24), unchanged, (0,), 0),
    "one draw": ((5, 24), unchanged, (0, 1), 0),
    "channels last": ((3, 7, 5, 8), lambda x: x.permute(0, 3, 1, 2), (), 0),
    "channels last, whole blocks": ((2, 2, 8, 3), lambda x: x.permute(0, 3, 1, 2), (), 0),
    "channels last, a channel": ((3, 7, 5, 8), lambda x: x.permute(0, 3, 1, 2), (2, 3), 0),
    "a transpose": ((24, 9), lambda x: x.t(), (), 0),
    "a slice": ((6, 40), lambda x: x[::2, 3:], (), 0),
    "an address that is no multiple": ((65,), lambda x: x[1:], (), 0),
    "expanded": ((3, 1, 16), lambda x: x.expand(3, 4, 16), (), 0),
    "six axes that don't merge": ((2, 3, 2, 3, 2, 5), lambda x: x.permute(5, 1, 0, 3, 2, 4), (1,), 0),
    "nothing": ((0, 8), unchanged, (), 0),
}


def given(name: str, dtype: torch.dtype) -> tuple[Tensor, Placement]:
    shape, view, shared, start = LAYOUTS[name]
    x = view(numbers(shape, dtype))
    whole: dict[str, Any] = {"offset": (start,), "global_shape": (2**64 - 1,)} if start else {}
    return x, place(x.shape, broadcast_dims=shared, **whole)
