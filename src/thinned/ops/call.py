"""The operators' public door: a rate, a placement and a key in words, compiled to the numbers that a kernel takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise import DEVIATION, PROBABILITY, place
from . import law, operator  # noqa: F401  operator defines torch.ops.thinned
from .key import as_key
from .law import Rate, as_rate, is_zero
from .philox import signed


def drop(
    input: Tensor,
    p: Rate,
    *,
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
    gain: Rate | None = None,
    shift: Rate = 0.0,
    fill: Rate = 0.0,
) -> Tensor:
    """Drop units by key: `gain * x + shift` where a unit is kept, `fill` where it is dropped.

    Values are selected, never multiplied by a mask: a dropped inf or nan is gone. Half precision is scaled in float32
    and rounded once. The result has the input's layout; the mask depends on logical positions alone. Autograd keeps the
    key and the law, 40 bytes, and nothing else.

    Arguments:
        input: floating-point or complex, any shape, any layout.
        p: the probability that a unit is dropped, in [0, 1]. At 0 nothing is drawn and `input` itself comes back; at 1
            all is `fill`. A tensor of one number may stand for it, with which a compiled graph serves every p.
        key: a 64-bit key, for a result that is a pure function of its arguments.
        generator: where to draw the key, if not from torch's default CPU generator.
        broadcast_dims: axes along which one draw is shared.
        offset, global_shape: where `input` lies in a larger tensor, for shards that must agree on one mask.
        gain: what survivors are multiplied by; by default `thinned.noise.scale(p)`, which keeps the mean.
        shift, fill: alpha dropout's constants.

    Raises:
        TypeError: an integer or boolean input, or a `p` or `key` of the wrong type.
        ValueError: `p` outside [0, 1], or what `thinned.noise.place` refuses.

    Cost: about 6 ns an element on one CPU core, and again in the backward pass.

    >>> drop(torch.ones(8), 0.5, key=7)
    tensor([0., 2., 2., 2., 2., 0., 2., 0.])
    """
    p = as_rate(PROBABILITY, "drop", "p", p)
    check_floating("drop", input)
    if is_zero(p):
        return input
    where = place(input.shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    result: Tensor = torch.ops.thinned.drop(
        input,
        as_key(key, generator),
        law.bernoulli(p, gain, shift, fill),
        False,
        [signed(step) for step in where.strides],
        signed(where.base),
    )
    return result


def gaussian(
    input: Tensor,
    sigma: Rate,
    *,
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
) -> Tensor:
    """Multiply by keyed Gaussian noise of mean 1: `x * (1 + sigma * n)`, n standard normal.

    Arguments, errors: as in `drop`, with `sigma` for `p`: the noise's standard deviation, finite and not negative. At 0
    `input` comes back.

    Cost: about 30 ns an element on one CPU core, and again in the backward pass.

    >>> bool((gaussian(torch.ones(8), 0.5, key=7) == gaussian(torch.ones(8), 0.5, key=7)).all())
    True
    """
    sigma = as_rate(DEVIATION, "gaussian", "sigma", sigma)
    check_floating("gaussian", input)
    if is_zero(sigma):
        return input
    where = place(input.shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    result: Tensor = torch.ops.thinned.gaussian(
        input,
        as_key(key, generator),
        law.gaussian(sigma),
        False,
        [signed(step) for step in where.strides],
        signed(where.base),
    )
    return result


def check_floating(owner: str, input: object) -> None:
    """Refuse what has no gradient to thin, in one wording, at every p and in every mode."""
    if not isinstance(input, Tensor):
        raise TypeError(f"`{owner}`: `input` must be a tensor. Got {type(input).__name__}. Pass torch.as_tensor(...).")
    if not (input.is_floating_point() or input.is_complex()):
        raise TypeError(
            f"`{owner}`: `input` must be floating-point or complex. Got {input.dtype}. Convert it first: input.float()."
        )
