"""Refuses a module whose own `__call__` can drop: this is outside of the forward, where no hook of torch stands."""

from __future__ import annotations

import torch

from ..rates.blind import outside_forward


def check_call(owner: str, module: torch.nn.Module) -> None:
    """Raise ValueError for a module whose class has a `__call__` that can drop.

    Modules inside of it need no such look: their calls are inside of its forward.
    """
    called = outside_forward(module)
    if called is not None:
        raise ValueError(
            f"`{owner}`: {type(module).__name__} must drop in its forward. Got dropout in its __call__, at "
            f"{called.__code__.co_filename}:{called.__code__.co_firstlineno}, which nothing can see or stop. Move it "
            "into the forward."
        )
