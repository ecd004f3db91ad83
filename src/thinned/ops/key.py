"""The key of a call: given by the caller, or drawn from torch's generator by one small call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .._torch import functorch_config
from ..noise import UINT64, check
from ..noise.kernel import module
from .fold import fold_in, fold_number
from .philox import signed
from .rate import tracing
from .triton.trust import capturing

_DISTRIBUTED = torch.distributed.is_available()  # torch can be built without


def draw_key(generator: torch.Generator | None = None) -> Tensor:
    """A fresh 64-bit key as a 0-dim int64 tensor, drawn by one `torch.randint`.

    It is drawn from the CPU's default generator, on whatever device the data is. So `torch.manual_seed`, `fork_rng`,
    the generator state that activation checkpointing saves, and `vmap(randomness=...)` act on it as on torch's noise.

    If torch.distributed runs several processes, the rank of the process is folded into the number. So ranks with equal
    seeds have different keys. A compiled graph contains the rank that the process had during tracing.

    Arguments:
        generator: the generator to draw from, on its own device. Then the rank is not folded in.

    >>> torch.equal(draw_key(torch.Generator().manual_seed(1)), draw_key(torch.Generator().manual_seed(1)))
    True
    """
    recomputed = generator is None and tracing() and functorch_config.activation_memory_budget < 1
    # With an activation memory budget, the compiler may recompute the draw in the backward pass, and would draw another
    # key. In a checkpoint it restores the generator state first, so the key is the same.
    key = checkpoint(_draw, generator, use_reentrant=False) if recomputed else _draw(generator)
    rank = _rank() if generator is None else None
    return key if rank is None else fold_in(key, rank)


def _draw(generator: torch.Generator | None) -> Tensor:
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device=device, generator=generator)


def _recorded_key(device: torch.device) -> Tensor:
    """A key that is drawn when a CUDA graph is replayed. The rank is mixed in by one operation on the device."""
    key = torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device=device)
    rank = _rank()
    return key if rank is None else key ^ signed(fold_number(0, rank))


def _rank() -> int | None:
    """The rank of this process; None if there is one process only."""
    if not (_DISTRIBUTED and torch.distributed.is_initialized()) or torch.distributed.get_world_size() == 1:
        return None
    return torch.distributed.get_rank()


def as_key(key: int | Tensor | None, generator: torch.Generator | None = None) -> Tensor:
    """The key of a call as a 0-dim int64 tensor: `key`, or if it is None a fresh one from `generator`.

    Raises:
        TypeError: `key` is no integer and no 0-dim int64 tensor.
        ValueError: `key` is an integer outside [0, 2**64).
        ValueError: `key` and `generator` are both given.
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
    # On the CPU, whatever torch's default device is: on "meta" a key would have no value, and on a GPU it would cost a
    # transfer.
    return torch.tensor(signed(int(key)), dtype=torch.int64, device="cpu")


def key_for(input: Tensor, key: int | Tensor | None, generator: torch.Generator | None) -> Tensor:
    """`as_key` for noise on `input`. If `input` is a DTensor, all ranks of its mesh get the same key.

    While a CUDA graph is recorded, a key is drawn on the device, from torch's generator there: its draw is a part of
    the graph, so every replay has another key. A key from the CPU would be a constant of the graph.
    """
    drawn = key is None and generator is None and not torch.compiler.is_compiling()
    in_graph = drawn and capturing(input.device)
    chosen = _recorded_key(input.device) if in_graph else as_key(key, generator)
    if type(input) is Tensor or type(input) is torch.nn.Parameter or not _DISTRIBUTED:
        return chosen
    from . import dtensor  # half a second the first time; registers the operators for DTensors

    return dtensor.agreed(chosen, input) if key is None else chosen


def as_number(key: int | Tensor | None, generator: torch.Generator | None = None) -> int:
    """`as_key` as a number, for a backend that needs no tensor. The key is this number modulo 2**64."""
    if key is None and generator is None:
        # The same draw as in `draw_key`, but into an existing tensor: a new one would double the cost of a small call.
        number = cell.draw()
        rank = _rank()
        return number if rank is None else fold_number(number % 2**64, rank)
    if isinstance(key, Tensor) or generator is not None:
        return int(as_key(key, generator).item())
    check(UINT64, "key", "key", key)
    return int(key)  # type: ignore[arg-type]


class _Cell(threading.local):
    """A tensor for one number, separate in each thread, and the function that draws into it."""

    def __init__(self) -> None:
        with torch.inference_mode(False):
            tensor = torch.empty((), dtype=torch.int64, device="cpu")
        limits = -(2**63), 2**63 - 1
        self.draw: Callable[[], int] = (
            partial(module.draw, tensor.random_, limits, tensor.data_ptr())
            if module
            else lambda: int(tensor.random_(*limits).item())
        )


cell = _Cell()
