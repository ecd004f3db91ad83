"""Which random numbers torch really draws: seen below autograd, where every operator passes, whoever called it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..._torch import TorchDispatchMode


@dataclass(slots=True)
class Draw:
    """One random operator that ran."""

    operator: str  # "aten::bernoulli_", "thinned::drop"
    shape: tuple[int, ...]  # of the noise: of size 1 where thinned shares a draw along an axis
    dropped: float | None  # the share of zeros, where the draw is a mask


class DrawMode(TorchDispatchMode):
    """Tells `report` of every draw while it is entered."""

    def __init__(self, report: Callable[[Draw], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._report = report

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags or func.namespace == "thinned":
            draw = _draw(func, args, kwargs or {}, result)
            if draw is not None:
                self._report(draw)
        return result


def _draw(func: Any, args: Any, kwargs: Any, result: Any) -> Draw | None:
    """What the operator drew, or None where it drew nothing after all."""
    name = func._schema.name
    if name == "thinned::drop":
        return _ours(func, args, name)
    if name == "thinned::gaussian":
        return Draw(name, _shared(args[0], args[4]), None)
    if func.namespace == "thinned":
        return None
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    shape = tuple(first.shape) if isinstance(first, Tensor) else ()
    schema = func._schema.arguments
    named = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    named |= {argument.name: value for argument, value in zip(schema, args, strict=False)} | kwargs
    rate = named.get("dropout_p", named.get("dropout"))
    if rate is not None:  # attention and recurrent kernels, which are marked as random at every p
        trains = named.get("train", True)
        return Draw(name, shape, None) if rate and trains else None
    if name == "aten::native_dropout":
        return Draw(name, shape, 1.0 - _mean(result[1])) if named.get("train") is not False else None
    if name in ("aten::bernoulli", "aten::bernoulli_"):
        return Draw(name, shape, 1.0 - _mean(first != 0))
    if name == "aten::rrelu_with_noise" and not named.get("training"):
        return None
    return Draw(name, shape, None)


def _ours(func: Any, args: Any, name: str) -> Draw:
    """Our own mask again, from its key: the operator applied to ones."""
    x, key, law, _, strides, base = args[:6]
    ones = torch.ones(x.shape, device=x.device, dtype=torch.float32)
    return Draw(name, _shared(x, strides), 1.0 - _mean(func(ones, key, law, True, strides, base) != 0))


def _shared(x: Tensor, strides: Any) -> tuple[int, ...]:
    return tuple(1 if step == 0 else size for size, step in zip(x.shape, strides[-x.ndim :] or (), strict=True))


def _mean(mask: Tensor) -> float:
    return mask.double().mean().item() if mask.numel() else 0.0
