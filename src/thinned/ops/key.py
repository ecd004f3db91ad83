"""Where a call's key comes from: the caller, or one tiny draw from torch's own generator."""

from __future__ import annotations

import threading

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .._torch import functorch_config
from ..noise import UINT64, check
from .fold import fold_in, fold_number
from .philox import signed
from .rate import tracing

_DISTRIBUTED = torch.distributed.is_available()  # torch can be built without


def draw_key(generator: torch.Generator | None = None) -> Tensor:
    """A fresh 64-bit key as a 0-dim int64 tensor, drawn by one `torch.randint`.

    The draw is from the CPU's default generator whatever device the data is on, so `torch.manual_seed`, `fork_rng`, the
    RNG state that activation checkpointing saves, and `vmap(randomness=...)` mean for us what they mean for torch.

    Where torch.distributed runs more than one process, the number drawn is folded with the process's rank, so that
    ranks of one seed differ. A compiled graph has the rank of the time when it was traced.

    Arguments:
        generator: draw from this one instead, on its own device; the rank plays no part.

    >>> torch.equal(draw_key(torch.Generator().manual_seed(1)), draw_key(torch.Generator().manual_seed(1)))
    True
    """
    recomputed = generator is None and tracing() and functorch_config.activation_memory_budget < 1
    # With a budget the compiler draws again in the backward pass, unless it is a checkpoint that draws, whose generator
    # it winds back.
    key = checkpoint(_draw, generator, use_reentrant=False) if recomputed else _draw(generator)
    rank = _rank() if generator is None else None
    return key if rank is None else fold_in(key, rank)


def _draw(generator: torch.Generator | None) -> Tensor:
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device=device, generator=generator)


def _rank() -> int | None:
    """This process's rank, None where there is no other process."""
    if not (_DISTRIBUTED and torch.distributed.is_initialized()) or torch.distributed.get_world_size() == 1:
        return None
    return torch.distributed.get_rank()


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


def key_for(input: Tensor, key: int | Tensor | None, generator: torch.Generator | None) -> Tensor:
    """`as_key` for the noise on `input`: where that is a DTensor, all ranks of its mesh get one key."""
    chosen = as_key(key, generator)
    if type(input) is Tensor or type(input) is torch.nn.Parameter or not _DISTRIBUTED:
        return chosen
    from . import dtensor  # takes half a second the first time, and teaches the operators what to do with a DTensor

    return dtensor.agreed(chosen, input) if key is None else chosen


def as_number(key: int | Tensor | None, generator: torch.Generator | None = None) -> int:
    """`as_key` as a number, for a backend that keeps no tensor: modulo 2**64 it is the key."""
    if key is None and generator is None:
        # `draw_key`'s own draw, into a tensor that is there already: half the cost of a small layer's call.
        number = int(_cell.tensor.random_(-(2**63), 2**63 - 1).item())
        rank = _rank()
        return number if rank is None else fold_number(number % 2**64, rank)
    if isinstance(key, Tensor) or generator is not None:
        return int(as_key(key, generator).item())
    check(UINT64, "key", "key", key)
    return int(key)  # type: ignore[arg-type]


class _Cell(threading.local):
    """A tensor for one number, one a thread."""

    def __init__(self) -> None:
        with torch.inference_mode(False):
            self.tensor = torch.empty((), dtype=torch.int64, device="cpu")


_cell = _Cell()
