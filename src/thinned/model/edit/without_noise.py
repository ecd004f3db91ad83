"""Switches off one call of a function that drops, whatever holds its p: the call gets p = 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..known.functions import Argument, canonical, noisy

_DROP, _GAUSSIAN = (getattr(torch.ops.thinned, name) for name in ("drop", "gaussian"))
_OURS = (_DROP, _DROP.default, _GAUSSIAN, _GAUSSIAN.default)
_RRELU = Argument(3, ("training",), False)  # draws slopes in training, and has no p


def drops(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call of torch drops units or draws slopes, and `without_noise` can switch that off."""
    if func in _OURS:
        return not _linear(func, args, kwargs)
    name = canonical(func)
    if name == "rrelu":
        return bool(_RRELU.read(args, kwargs))
    entry = noisy(name, args)
    if entry is None:
        return False
    p, training = entry.rate(args, kwargs)
    return bool(p) and training


def without_noise(func: Any, args: Any, kwargs: Any) -> tuple[Callable[..., Any], Any, Any]:
    """The same call of torch, without its noise. Classic scaling multiplies by q, as at inference.

    >>> ones = torch.ones(4)
    >>> func, args, kwargs = without_noise(torch.nn.functional.dropout, (ones, 0.5), {})
    >>> func(*args, **kwargs)
    tensor([1., 1., 1., 1.])
    """
    if func in _OURS:
        if func in _OURS[:2]:
            level, gain, shift, fill = args[2].tolist()
            if gain == 1.0 and not shift and not fill:
                return torch.mul, (args[0], 1.0 - level / 65536), {}
        return torch.clone, args[:1], {}
    name = canonical(func)
    if name == "rrelu":
        return func, *_RRELU.write(args, kwargs, False)
    entry = noisy(name, args)
    assert entry is not None
    return func, *entry.p.write(args, kwargs, 0.0)


def _linear(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call of our operator is the backward pass of another, which draws nothing anew."""
    at = 3
    return bool(kwargs.get("linear", args[at] if len(args) > at else False))
