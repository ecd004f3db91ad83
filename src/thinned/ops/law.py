"""A rate as data: p in a tensor, and from it the numbers that a kernel takes.

A number that torch.compile or torch.export meets becomes part of the graph, so that every new p is a new graph; a
tensor is an input of it. Here are `thinned.noise`'s formulas in tensor operations, in float64, the same bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import noise
from ..noise import DEVIATION, PROBABILITY, Rule, check
from ..noise.law import LEVELS

Rate = float | Tensor


def as_rate(rule: Rule, owner: str, argument: str, value: Rate) -> Rate:
    """A rate checked and in the form that the moment asks for: a number in eager mode, data while a graph is traced.

    While traced, 0 stays a number, since it leaves the noise out of the graph. A tensor's value is not known then: one
    that breaks the rule is refused by the operators when the graph runs.

    Raises:
        TypeError, ValueError: a number that breaks the rule, or a tensor that is not one floating-point value without
            gradient.
    """
    tracing = torch.compiler.is_compiling()
    if isinstance(value, Tensor):
        if value.numel() != 1 or not value.is_floating_point() or value.requires_grad:
            raise TypeError(
                f"`{owner}`: `{argument}` {rule.text}, or a floating-point tensor of one. Got {value.dtype} of shape "
                f"{tuple(value.shape)}, requires_grad={value.requires_grad}. Noise has no derivative in it: pass "
                f"{argument}.detach(), of one element."
            )
        if tracing:
            return value.reshape(()).to("cpu", torch.float64)
        value = value.item()
    check(rule, owner, argument, value)
    # A product, since that is what torch.compile can turn from arithmetic on numbers into arithmetic on tensors.
    return torch.ones((), dtype=torch.float64, device="cpu") * value if tracing and not is_zero(value) else value


def is_zero(value: Rate) -> bool:
    """Whether a rate is known to be 0, in which case there is no noise to make."""
    return not isinstance(value, Tensor) and value == 0


def threshold(p: Tensor) -> Tensor:
    """`noise.threshold`, and nan where p is outside [0, 1]."""
    scaled = LEVELS * p
    whole = scaled.floor()
    nearest = whole + (scaled - whole >= 0.5)
    below = torch.where(p < 1.0, nearest.clamp(max=LEVELS - 1), nearest)
    return torch.where((p >= 0.0) & (p <= 1.0), below, torch.nan)


def realised(p: Rate) -> Rate:
    """`noise.realised`."""
    return threshold(p) / LEVELS if isinstance(p, Tensor) else noise.realised(p)


def scale(p: Tensor) -> Tensor:
    """`noise.scale`."""
    kept = LEVELS - threshold(p)
    return torch.where(kept > 0.0, (LEVELS / kept).float().double(), 0.0)


def bernoulli(p: Rate, gain: Rate | None, shift: Rate, fill: Rate) -> Tensor:
    """The four numbers of `thinned::drop`, float64: threshold, gain (by default the scale), shift and fill."""
    if not isinstance(p, Tensor):
        return torch.tensor(
            [noise.threshold(p), noise.scale(p) if gain is None else gain, shift, fill],
            dtype=torch.float64,
            device="cpu",
        )
    numbers = (threshold(p), scale(p) if gain is None else gain, shift, fill)
    return torch.stack([part if isinstance(part, Tensor) else torch.full_like(p, part) for part in numbers])


def gaussian(sigma: Rate) -> Tensor:
    """The number of `thinned::gaussian`, float64: sigma."""
    return sigma if isinstance(sigma, Tensor) else torch.tensor(sigma, dtype=torch.float64, device="cpu")


def numbers(law: Tensor, linear: bool) -> tuple[int, float, float, float]:
    """What `bernoulli` packed, for a kernel; the linear part of the map has no shift and fills with 0.

    Raises:
        ValueError: the law of a p outside [0, 1].
    """
    level, gain, shift, fill = law.tolist()
    if not 0 <= level <= LEVELS:
        raise _outside("drop", PROBABILITY, "p")
    return int(level), gain, *((0.0, 0.0) if linear else (shift, fill))


def deviation(law: Tensor) -> float:
    """What `gaussian` packed; infinity is p = 1, where all is zero.

    Raises:
        ValueError: a negative sigma, or that of a p outside [0, 1].
    """
    sigma = law.item()
    if not sigma >= 0:
        raise _outside("gaussian", DEVIATION, "sigma")
    return sigma


def _outside(owner: str, rule: Rule, argument: str) -> ValueError:
    return ValueError(
        f"`{owner}`: `{argument}` {rule.text}. Got a tensor outside it, in a compiled or exported graph. "
        "Look at the value before the call."
    )
