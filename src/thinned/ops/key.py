"""Where a call's key comes from: the caller, or one tiny draw from torch's own generator."""

from __future__ import annotations

import torch
from torch import Tensor

from ..noise import UINT64, check
from .philox import signed


def draw_key(generator: torch.Generator | None = None) -> Tensor:
    """A fresh 64-bit key as a 0-dim int64 tensor, drawn by one `torch.randint`.

    The draw is from the CPU's default generator whatever device the data is on, so `torch.manual_seed`, `fork_rng`, the
    RNG state that activation checkpointing saves, and `vmap(randomness=...)` mean for us what they mean for torch.

    Arguments:
        generator: draw from this one instead, on its own device.

    >>> torch.equal(draw_key(torch.Generator().manual_seed(1)), draw_key(torch.Generator().manual_seed(1)))
    True
    """
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device=device, generator=generator)


def as_key(key: int | Tensor | None, generator: torch.Generator | None = None) -> Tensor:
    """The key to use: `key` itself, as an int64 tensor, or a fresh one from `generator`.

    Raises:
        TypeError, ValueError: `key` is neither an integer in [0, 2**64) nor a 0-dim int64 tensor with those bits, or
            `key` and `generator` are both given.
    """
    if key is None:
        return draw_key(generator)
    if generator is not None:
        raise ValueError("`key` and `generator`: at most one may be given. Got both. A key needs no generator.")
    if isinstance(key, Tensor):
        if key.dtype != torch.int64 or key.ndim:
            raise TypeError(
                f"`key`: a tensor must be 0-dim int64. Got {tuple(key.shape)} of {key.dtype}. "
                "For one key a row, use torch.vmap."
            )
        return key
    check(UINT64, "key", "key", key)
    # Never on torch's default device: a key made there under "meta" has no value, and on a GPU it costs a transfer.
    return torch.tensor(signed(int(key)), dtype=torch.int64, device="cpu")
