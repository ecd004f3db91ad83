"""Operators of other libraries, inside which no mode of torch sees: they draw if torch's generators have moved."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from .generators import torch_states


def ran(func: Any, args: Any, kwargs: Any) -> tuple[Any, bool]:
    """Run a library's operator. Returns: its result, and whether it has drawn.

    While there are other threads, which may draw from the same generators, no draw is told from theirs.
    """
    alone = threading.active_count() == 1 and not _is_recorded()
    before = torch_states() if alone else []
    result = func(*args, **kwargs)
    return result, alone and not _same(before, torch_states())


def _same(one: list[Tensor], two: list[Tensor]) -> bool:
    return [state.numpy().tobytes() for state in one] == [state.numpy().tobytes() for state in two]


def _is_recorded() -> bool:
    """Whether a CUDA graph is recorded, while which no generator can be read."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
