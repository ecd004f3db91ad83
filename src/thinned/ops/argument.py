"""What the operators demand of their arguments, whoever calls them: an exported program may hold any call.

The public functions give right ones. A wrong key or law here would make the compiled kernel read or write beyond a
tensor's memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise.law import LEVELS

_LAWS = {"drop": 4, "gaussian": 1}  # how many numbers each law has; `uniform` looks at none


def check_call(name: str, x: Tensor, key: Tensor, law: Tensor, strides: Sequence[int]) -> None:
    """Check types and shapes, which fake tensors have too.

    Raises:
        TypeError: `x` is not floating-point or complex, `key` is not int64, or `law` is not float64.
        ValueError: `key`'s shape is not that of the first axes of `x`, `law` has another number of values, or `strides`
            another length than the shape of `x`.
    """
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(f"`thinned::{name}`: `x` must be floating-point or complex. Got {x.dtype}.")
    check_key(name, key)
    if law.dtype is not torch.float64:
        raise TypeError(f"`thinned::{name}`: `law` must be float64. Got {law.dtype}.")
    if key.ndim and (key.ndim > x.ndim or tuple(key.shape) != tuple(x.shape[: key.ndim])):
        raise ValueError(
            f"`thinned::{name}`: `key` must have the shape of the first axes of `x`, one key a row, or no axis. Got "
            f"{tuple(key.shape)} for `x` of shape {tuple(x.shape)}."
        )
    laws = _LAWS.get(name)
    if laws is not None and (law.numel() != laws or law.ndim > 1):
        raise ValueError(f"`thinned::{name}`: `law` must hold {laws} number(s). Got shape {tuple(law.shape)}.")
    if len(strides) != x.ndim:
        raise ValueError(
            f"`thinned::{name}`: `strides` must have a number for each of the {x.ndim} axes of `x`. Got {len(strides)}."
        )


def check_key(name: str, key: Tensor) -> None:
    """Check the type of keys.

    Raises:
        TypeError: they are not int64.
    """
    if key.dtype is not torch.int64:
        raise TypeError(f"`thinned::{name}`: `key` must be int64. Got {key.dtype}.")


def check_level(level: float) -> int:
    """The first number of a drop's law: of 65,536 equal chances so many drop a unit.

    Raises:
        ValueError: it is no whole number in [0, 65536].
    """
    if not 0 <= level <= LEVELS or level != int(level):
        raise ValueError(f"`thinned::drop`: `law[0]` must be a whole number in [0, {LEVELS}]. Got {level}.")
    return int(level)
