"""Which random operators really run: seen by a dispatch mode, below autograd, where calls from C++ pass too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..known.functions import TORCHS, told_to_drop
from .foreign import ran
from .shape import shape_of, stored
from .torch_modes import ThreadMode


@dataclass(slots=True)
class Draw:
    """One random operator that ran.

    For `F.dropout(x, 0.25)` on an x of shape (8, 4) on the CPU: `Draw("aten::bernoulli_", (8, 4), 0.28125)`.
    """

    operator: str  # "aten::bernoulli_", "thinned::drop"
    shape: tuple[int, ...]  # of the noise; 1 on each axis along which thinned shares a draw
    dropped: float | None  # the share of zeros in the mask; None where the draw is no mask


class DrawMode(ThreadMode):
    """A dispatch mode that calls `report` with every draw made inside its `with`."""

    def __init__(self, report: Callable[[Draw], None]) -> None:
        super().__init__()
        self._report = report

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in TORCHS:
            result, drew = ran(func, args, kwargs or {})
            if drew or told_to_drop(named_arguments(func, args, kwargs or {})):
                self._report(Draw(func._schema.name, shape_of(result) if isinstance(result, Tensor) else (), None))
            return result
        result = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags or func.namespace == "thinned":
            draw = _draw(func, args, kwargs or {}, result)
            if draw is not None:
                self._report(draw)
        return result


RATES = ("dropout_p", "dropout")  # arguments that hold p, in operators that do more than drop


def named_arguments(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of an operator's call by name, defaults included."""
    schema = func._schema.arguments
    defaults = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    given = {argument.name: value for argument, value in zip(schema, args, strict=False)}
    return {**defaults, **given, **kwargs}


def draws(func: Any, named: Mapping[str, Any]) -> bool:
    """Whether an operator that is marked as random, or is thinned's, makes noise with these arguments."""
    name = func._schema.name
    if func.namespace == "thinned":
        return name in ("thinned::drop", "thinned::gaussian") and not named.get("linear")
    if func.namespace not in TORCHS:
        return True  # who asks has seen it, or its arguments say so
    if named.get("train", named.get("training", True)) is False or named.get("num_layers") == 1:
        return False
    rates = [named[rate] for rate in RATES if rate in named]
    if not rates and "dropout" in name:
        rates = [named.get("p")]
    return not rates or bool(rates[0])


def _draw(func: Any, args: Any, kwargs: Any, result: Any) -> Draw | None:
    """The draw of an operator that has run, or None where it drew nothing."""
    named = named_arguments(func, args, kwargs)
    if not draws(func, named):
        return None
    name = func._schema.name
    if name == "thinned::drop":
        return _ours(func, args, name)
    if name == "thinned::gaussian":
        return Draw(name, _shared(args[0], args[4]), None)
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    shape = shape_of(first) if isinstance(first, Tensor) else ()
    if name == "aten::native_dropout":
        return Draw(name, shape, 1.0 - _mean(stored(result[1])))
    if name in ("aten::bernoulli", "aten::bernoulli_"):
        return Draw(name, shape, 1.0 - _mean(stored(first) != 0))
    return Draw(name, shape, None)


def _ours(func: Any, args: Any, name: str) -> Draw:
    """The draw of `thinned::drop`, whose mask is found by running the operator again, on ones and with the same key."""
    x, key, law, _, strides, base = args[:6]
    ones = torch.ones(x.shape, device=x.device, dtype=torch.float32)
    return Draw(name, _shared(x, strides), 1.0 - _mean(func(ones, key, law, True, strides, base) != 0))


def _shared(x: Tensor, strides: Any) -> tuple[int, ...]:
    return tuple(1 if step == 0 else size for size, step in zip(x.shape, strides[-x.ndim :] or (), strict=True))


def _mean(mask: Tensor) -> float:
    return mask.double().mean().item() if mask.numel() else 0.0
