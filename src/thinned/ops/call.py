"""The public functions `drop` and `gaussian`: they check their arguments and compute the numbers for a kernel."""

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
    """Drop units by key: `gain * x + shift` where a unit is kept, `fill` where it is dropped.

    p and the law determine gain, shift and fill. Values are selected, never multiplied by a mask: a dropped inf or nan
    becomes `fill`. Half precision is scaled in float32 and rounded once. The result has the input's memory layout; the
    mask depends on the logical positions only. Autograd saves the key and a few numbers, and no tensor of the input's
    size.

    Arguments:
        input: floating-point or complex, any shape, any layout.
        p: the probability that a unit is dropped, in [0, 1]. At 0 nothing is drawn, and the result is `input` itself;
            at 1 the result is 0. It may be a tensor with one number: then one compiled graph serves every p.
        key: a 64-bit key. With a key the result is a pure function of the arguments.
        generator: the generator from which the key is drawn; None is torch's default CPU generator.
        broadcast_dims: the axes along which one draw is shared.
        offset, step, global_shape: the position of `input` in a larger tensor, so that shards have parts of one mask;
            as in `thinned.noise.place`.
        batch_dim: the batch axis of `input`, which microbatches and ranks of a stream divide; None for a weight.
        law: "inverted" multiplies kept units by `thinned.noise.scale(p)`, so that the mean stays; "classic" leaves them
            as they are; in these laws dropped units become 0. "alpha" is alpha dropout.
        residual: a tensor that is added to the rounded result; in the same pass if its shape and type are the input's.
        out: the tensor to write to, of the input's shape and type. It may be `input` itself, which is then overwritten
            as by an in-place operation of torch. It may be another tensor only if no gradient is needed.
        owner: the name of the function or layer in error messages.

    Raises:
        TypeError: `input` is no tensor, or its numbers are integers or booleans.
        TypeError: `p` or `key` has the wrong type.
        ValueError: `p` is outside [0, 1].
        ValueError: `law` is unknown.
        ValueError: `key` and `generator` are both given.
        ValueError: the position is refused by `thinned.noise.place`.
        RuntimeError: autograd cannot record a result in `out`.

    Cost: about 0.2 ns a float32 on one CPU core with AVX-512, and the same in the backward pass; 6 ns without the
    compiled kernel (docs/guides/performance.md).

    >>> drop(torch.ones(8), 0.5, key=7)
    tensor([0., 2., 2., 2., 2., 0., 2., 0.])
    """
    if key is None and generator is None and (source := placed.source()) is not None:
        key = source.draw(input)
    if isinstance(key, Placed):
        key, offset, step, global_shape = key.located(input.shape, batch_dim, offset, step, global_shape)
    # A shorter path for the usual call in training. The conditions are in the order of their cost.
    if type(p) is float and 0.0 < p <= 1.0 and not torch.compiler.is_compiling() and cpu.able(input, residual, out):
        if broadcast_dims:
            check(AXES, owner, "broadcast_dims", broadcast_dims)  # the cache below takes 1.0 and True for 1
        elsewhere = (
            () if offset is step is global_shape is None else tuple(map(_hashable, (offset, step, global_shape)))
        )
        constants = law_constants(owner, law, p, input.shape, tuple(broadcast_dims), *elsewhere)
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
def law_constants(
    owner: str,
    law: str,
    p: float,
    shape: tuple[int, ...],
    broadcast_dims: tuple[int, ...],
    offset: tuple[int, ...] | None = None,
    step: tuple[int, ...] | None = None,
    global_shape: tuple[int, ...] | None = None,
) -> cpu.Constants:
    """The kernel's arguments other than the key. Cached: computing them costs more than dropout of a small tensor."""
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, step=step, global_shape=global_shape)
    level, gain, shift, fill = numbers(check(LAW, owner, "law", law), p)
    return int(level), gain, shift, fill, where.strides, where.base


def _hashable(axes: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if axes is None else tuple(axes)


def _finish(input: Tensor, result: Tensor, residual: Tensor | None, out: Tensor | None) -> Tensor:
    """Add the residual, and write to `out`."""
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
    """Multiply by Gaussian noise of mean 1, drawn by key: `x * (1 + sigma * n)`, n standard normal.

    Arguments, errors: as in `drop`, with `sigma` in place of `p`. `sigma` is the standard deviation of the noise,
    finite and not negative. At 0 the result is `input` itself.

    Cost: about 30 ns an element on one CPU core, and the same in the backward pass.

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
    """Refuse an input that is no floating-point or complex tensor, with the same message at every p and in every mode.

    Raises:
        TypeError: `input` is no tensor, or its numbers are integers or booleans.
    """
    if not isinstance(input, Tensor):
        symbolic = isinstance(input, torch.fx.Proxy)
        next_step = "Make the layer a leaf of the torch.fx.Tracer." if symbolic else "Pass torch.as_tensor(...)."
        raise TypeError(f"`{owner}`: `input` must be a tensor. Got {type(input).__name__}. {next_step}")
    if not (input.is_floating_point() or input.is_complex()):
        raise TypeError(
            f"`{owner}`: `input` must be floating-point or complex. Got {input.dtype}. Convert it first: input.float()."
        )
