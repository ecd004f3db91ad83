"""The eager backend: masks and noise computed with integer operations of torch, on the device of the tensor.

A key may be a tensor whose axes are the first `key.ndim` axes of the input: then each row has its own key, and
positions are counted inside a row. `vmap(randomness="different")` makes such calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..noise import DEVIATION, check
from ..noise.law import BERNOULLI_DOMAIN, LEVELS, UNIFORM_DOMAIN
from ..noise.place import Placement
from .philox import philox_words, signed

_WIDE = {torch.float32, torch.float64, torch.complex64, torch.complex128}


def drop(
    x: Tensor, key: Tensor, threshold: int, scale: float, shift: float, fill: float, strides: Sequence[int], base: int
) -> Tensor:
    """`scale * x + shift` where kept and `fill` where dropped, computed in float32 or wider and rounded once."""
    y = widened(x) * scale
    if shift:
        y += shift
    if threshold >= LEVELS:
        y.fill_(fill)
    elif threshold > 0:
        dropped = _field(x, key, strides, base, 8, BERNOULLI_DOMAIN, lambda words: halves_below(words, threshold))
        y.masked_fill_(dropped, fill)
    return y.to(x.dtype)


def gaussian(x: Tensor, key: Tensor, sigma: float, strides: Sequence[int], base: int) -> Tensor:
    """`x * (1 + sigma * n)`, n standard normal, computed in float32 or wider and rounded once; 0 if sigma is inf."""
    if sigma == math.inf:
        return torch.zeros_like(x)
    y = widened(x)
    factor = _field(x, key, strides, base, 4, UNIFORM_DOMAIN, box_muller).mul_(sigma).add_(1.0)
    factor = factor.to(y.real.dtype if y.is_complex() else y.dtype)
    # `out` has x's memory layout. Without it the product could take the layout of `factor`, if x has axes of size 0 or
    # 1.
    return torch.mul(y, factor, out=torch.empty_like(y)).to(x.dtype)


def uniform(x: Tensor, key: Tensor, strides: Sequence[int], base: int) -> Tensor:
    """`x * u` with u uniform in (0, 1), computed in float32 or wider and rounded once."""
    y = widened(x)
    factor = _field(x, key, strides, base, 4, UNIFORM_DOMAIN, _unit).to(y.real.dtype if y.is_complex() else y.dtype)
    # The largest 32-bit numbers round up to 1 in float32, but u must be below 1.
    return torch.mul(y, factor.clamp_max_(1.0 - 2.0**-24), out=torch.empty_like(y)).to(x.dtype)


def checked_deviation(law: Tensor) -> float:
    """The standard deviation that a law has, which a graph may have computed; infinity is that of p = 1."""
    sigma = law.item()
    if sigma != math.inf:
        check(DEVIATION, "gaussian", "sigma", sigma)
    return sigma


def widened(x: Tensor) -> Tensor:
    """`x` in float32 or wider, or the complex type of this width."""
    if x.dtype in _WIDE:
        return x
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


def _field(
    x: Tensor,
    key: Tensor,
    strides: Sequence[int],
    base: int,
    per_block: int,
    domain: int,
    law: Callable[[Tensor], Tensor],
) -> Tensor:
    """One value for each draw, of shape `(*key.shape, *noise_shape)`.

    `law` turns random words of shape `(4, *K, N)` into values of shape `(*K, N, per_block)`, where K is the key's shape
    and N the number of blocks.
    """
    rows = key.ndim
    where = Placement(tuple(x.shape[rows:]), tuple(strides[rows:]), base % 2**64)
    key = key.to(x.device, non_blocking=x.is_cuda).unsqueeze(-1)  # other devices need not know such copies
    count = math.prod(where.noise_shape)
    if where.dense:
        first, skipped = divmod(where.base, per_block)
        block = torch.arange(-((skipped + count) // -per_block), device=x.device) + signed(first)
        flat = law(philox_words(block, key, domain)).flatten(-2)[..., skipped : skipped + count]
    else:
        flat = _at(torch.from_numpy(where.positions().ravel().view(np.int64)).to(x.device), key, per_block, domain, law)
    return flat.reshape((*key.shape[:-1], *where.noise_shape))


def field_at(positions: Tensor, key: Tensor, per_block: int, domain: int, law: Callable[[Tensor], Tensor]) -> Tensor:
    """One value for each of these positions (int64 with the bits of unsigned numbers), of their shape."""
    flat = _at(positions.flatten(), key.to(positions.device).reshape(1), per_block, domain, law)
    return flat.reshape(positions.shape)


def _at(positions: Tensor, key: Tensor, per_block: int, domain: int, law: Callable[[Tensor], Tensor]) -> Tensor:
    """One value for each position of a list, for each key of `(*K, 1)`."""
    block = (positions >> per_block.bit_length() - 1) & (2**64 // per_block - 1)
    lane = (positions & per_block - 1).expand(*key.shape[:-1], len(positions)).unsqueeze(-1)
    return law(philox_words(block, key, domain)).gather(-1, lane).squeeze(-1)


def halves_below(words: Tensor, threshold: int) -> Tensor:
    """Whether each 16-bit half of a word is below the threshold; the low half comes before the high half."""
    below = torch.empty((*words.shape[1:], 4, 2), dtype=torch.bool, device=words.device)
    by_word = words.movedim(0, -1)
    torch.lt(by_word & 0xFFFF, threshold, out=below[..., 0])
    torch.lt(by_word >> 16, threshold, out=below[..., 1])
    return below.flatten(-2)


def _unit(words: Tensor) -> Tensor:
    """Four uniform numbers for each block."""
    wide = torch.float32 if words.device.type == "mps" else torch.float64
    return words.movedim(0, -1).to(wide).add_(0.5).mul_(2.0**-32)


def box_muller(words: Tensor) -> Tensor:
    """Four standard normal numbers for each block, in float64.

    Metal (MPS) has no float64, and float32 exceeds the tolerance of the contract where u is near 1. So the CPU computes
    them for Metal.
    """
    device = words.device
    metal = device.type == "mps"
    unit = (words.cpu() if metal else words).double().add_(0.5).mul_(2.0**-32)
    radius, angle = (-2.0 * unit[0::2].log()).sqrt(), unit[1::2] * (2.0 * math.pi)
    pairs = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    normals = pairs.flatten(0, 1).movedim(0, -1)
    return normals.float().to(device) if metal else normals
