"""The operators' public door: a rate, a placement and a key in words, compiled to the numbers that a kernel takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..noise import AXES, DEVIATION, PROBABILITY, check, place
from ..noise.formulas import LAW, numbers
from . import cpu, operator, placed  # noqa: F401  operator defines torch.ops.thinned
from .key import as_number, key_for
from .philox import signed
from .placed import Placed
from .rate import Rate, as_rate, is_zero, packed


def drop(
    input: Tensor,
    p: Rate,
    *,
    key: int | Tensor | Placed | None = None,
    generator: torch.Generator | None = None,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    step: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
    batch_dim: int | None = 0,
    law: str = "inverted",
    residual: Tensor | None = None,
    out: Tensor | None = None,
    owner: str = "drop",
) -> Tensor:
    """Drop units by key: `gain * x + shift` where a unit is kept, `fill` where it is dropped, as p and the law have it.

    Values are selected, never multiplied by a mask: a dropped inf or nan is gone. Half precision is scaled in float32
    and rounded once. The result has the input's layout; the mask depends on logical positions alone. Autograd keeps the
    key and a few numbers, no tensor of the input's size.

    Arguments:
        input: floating-point or complex, any shape, any layout.
        p: the probability that a unit is dropped, in [0, 1]. At 0 nothing is drawn and `input` itself comes back; at 1
            all is 0. A tensor of one number may stand for it, with which a compiled graph serves every p.
        key: a 64-bit key, for a result that is a pure function of its arguments.
        generator: where to draw the key, if not from torch's default CPU generator.
        broadcast_dims: axes along which one draw is shared.
        offset, step, global_shape: where `input` lies in a larger tensor, for shards that must agree on one mask; as in
            `thinned.noise.place`.
        batch_dim: which axis of `input` a stream's microbatches and ranks divide; None for a weight, which has none.
        law: "inverted", which multiplies survivors by `thinned.noise.scale(p)` and so keeps the mean, "classic", which
            leaves them as they are, or "alpha", alpha dropout's; the first two fill with 0.
        residual: added to the rounded result, in the same pass where shapes and types agree.
        out: where to write, of the input's shape and type. `input` itself overwrites it, as torch's in-place operations
            do; another tensor serves where no gradient is wanted.
        owner: whose arguments these are, for errors.

    Raises:
        TypeError: an integer or boolean input, or a `p` or `key` of the wrong type.
        ValueError: `p` outside [0, 1], or what `thinned.noise.place` refuses.
        RuntimeError: an `out` that autograd can't follow.

    Cost: about 0.2 ns a float32 on one CPU core with AVX-512 and as much in the backward pass, 6 ns where there is
    no compiled kernel for it (docs/guides/performance.md).

    >>> drop(torch.ones(8), 0.5, key=7)
    tensor([0., 2., 2., 2., 2., 0., 2., 0.])
    """
    if key is None and generator is None and (source := placed.source()) is not None:
        key = source.draw(input)
    if isinstance(key, Placed):
        key, offset, step, global_shape = key.located(input.shape, batch_dim, offset, step, global_shape)
    # The short way, for what training does all the time; its order of questions is that of their cost.
    if type(p) is float and 0.0 < p <= 1.0 and not torch.compiler.is_compiling() and cpu.able(input, residual, out):
        if broadcast_dims:
            check(AXES, owner, "broadcast_dims", broadcast_dims)  # 1.0 and True would find the place of 1
        elsewhere = (
            () if offset is step is global_shape is None else tuple(map(_hashable, (offset, step, global_shape)))
        )
        constants = _constants(owner, law, p, input.shape, tuple(broadcast_dims), *elsewhere)
        return cpu.thin(input, residual, out, (as_number(key, generator), *constants))
    p = as_rate(PROBABILITY, owner, "p", p)
    check(LAW, owner, "law", law)
    check_floating(owner, input)
    if is_zero(p):
        return _finish(input, input, residual, out)
    where = place(input.shape, broadcast_dims=broadcast_dims, offset=offset, step=step, global_shape=global_shape)
    result: Tensor = torch.ops.thinned.drop(
        input,
        key_for(input, key, generator),
        packed(law, p, owner),
        False,
        [signed(stride) for stride in where.strides],
        signed(where.base),
    )
    return _finish(input, result, residual, out)


@lru_cache(maxsize=1024)
def _constants(
    owner: str,
    law: str,
    p: float,
    shape: tuple[int, ...],
    broadcast_dims: tuple[int, ...],
    offset: tuple[int, ...] | None = None,
    step: tuple[int, ...] | None = None,
    global_shape: tuple[int, ...] | None = None,
) -> cpu.Constants:
    """What a call has in common with the last one like it; finding it costs more than a small tensor's dropout."""
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, step=step, global_shape=global_shape)
    level, gain, shift, fill = numbers(check(LAW, owner, "law", law), p)
    return int(level), gain, shift, fill, where.strides, where.base


def _hashable(axes: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if axes is None else tuple(axes)


def _finish(input: Tensor, result: Tensor, residual: Tensor | None, out: Tensor | None) -> Tensor:
    if residual is not None:
        result = residual + result
    if out is None or out is result:
        return result
    if out is not input and torch.is_grad_enabled() and result.requires_grad:
        raise RuntimeError("`drop`: `out` can't have a gradient. Got an input that asks for one. Leave `out` away.")
    return out.copy_(result)


def gaussian(
    input: Tensor,
    sigma: Rate,
    *,
    key: int | Tensor | Placed | None = None,
    generator: torch.Generator | None = None,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    step: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
    batch_dim: int | None = 0,
) -> Tensor:
    """Multiply by keyed Gaussian noise of mean 1: `x * (1 + sigma * n)`, n standard normal.

    Arguments, errors: as in `drop`, with `sigma` for `p`: the noise's standard deviation, finite and not negative. At 0
    `input` comes back.

    Cost: about 30 ns an element on one CPU core, and again in the backward pass.

    >>> bool((gaussian(torch.ones(8), 0.5, key=7) == gaussian(torch.ones(8), 0.5, key=7)).all())
    True
    """
    if key is None and generator is None and (source := placed.source()) is not None:
        key = source.draw(input)
    if isinstance(key, Placed):
        key, offset, step, global_shape = key.located(input.shape, batch_dim, offset, step, global_shape)
    sigma = as_rate(DEVIATION, "gaussian", "sigma", sigma)
    check_floating("gaussian", input)
    if is_zero(sigma):
        return input
    where = place(input.shape, broadcast_dims=broadcast_dims, offset=offset, step=step, global_shape=global_shape)
    result: Tensor = torch.ops.thinned.gaussian(
        input,
        key_for(input, key, generator),
        sigma if isinstance(sigma, Tensor) else torch.tensor([sigma], dtype=torch.float64, device="cpu"),
        False,
        [signed(stride) for stride in where.strides],
        signed(where.base),
    )
    return result


def check_floating(owner: str, input: object) -> None:
    """Refuse what has no gradient to thin, in one wording, at every p and in every mode."""
    if not isinstance(input, Tensor):
        symbolic = isinstance(input, torch.fx.Proxy)
        next_step = "Make the layer a leaf of the torch.fx.Tracer." if symbolic else "Pass torch.as_tensor(...)."
        raise TypeError(f"`{owner}`: `input` must be a tensor. Got {type(input).__name__}. {next_step}")
    if not (input.is_floating_point() or input.is_complex()):
        raise TypeError(
            f"`{owner}`: `input` must be floating-point or complex. Got {input.dtype}. Convert it first: input.float()."
        )
