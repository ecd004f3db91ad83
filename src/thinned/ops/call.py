"""The public functions `drop` and `gaussian`: they check their arguments and compute the numbers for a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .._torch import tracing_state
from ..noise import AXES, DEVIATION, PROBABILITY, check, place
from ..noise.formulas import LAW, numbers
from . import cpu, gpu, operator, placed, sparse  # noqa: F401  operator and sparse define torch.ops.thinned
from .input import check_floating, check_tensor
from .key import as_number, key_for
from .nested import through_padded
from .philox import signed
from .placed import Placed
from .rate import Rate, as_rate, is_zero, packed
from .usual import usual


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

    In a sparse COO tensor the stored values are dropped, with the mask of the dense tensor. A nested tensor has the
    mask of its padded tensor: positions count from 0 in each row.

    Arguments:
        input: floating-point or complex, any shape, any strides; sparse COO, or nested.
        p: the probability that a unit is dropped, in [0, 1]. At 0 nothing is drawn, and the result is `input` itself,
            of any type; at 1 the result is 0. It may be a tensor with one number: then one
            compiled graph serves every p.
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
        TypeError: `input` is no tensor, its numbers are integers or booleans, or its layout is another one.
        TypeError: `p` or `key` has the wrong type.
        ValueError: `p` is outside [0, 1].
        ValueError: `law` is unknown.
        ValueError: `key` and `generator` are both given.
        ValueError: the position is refused by `thinned.noise.place`.
        RuntimeError: autograd cannot record a result in `out`.
        RuntimeError: torch.jit.trace records the call.

    Cost: about 0.2 ns a float32 on one CPU core with AVX-512, and the same in the backward pass; 6 ns without the
    compiled kernel (docs/guides/performance.md).

    >>> drop(torch.ones(8), 0.5, key=7)
    tensor([0., 2., 2., 2., 2., 0., 2., 0.])
    """
    if (
        key is None
        and generator is None
        and residual is None
        and out is None
        and offset is None
        and step is None
        and global_shape is None
        and type(broadcast_dims) is tuple
        and not broadcast_dims
        and not torch.compiler.is_compiling()
        and (result := usual(input, p, law)) is not None
    ):
        return result
    if key is None and generator is None and (source := placed.source()) is not None:
        key = source.draw(input)
    given = key
    if isinstance(key, Placed):
        if input.is_nested:
            key = key.key  # located when it is padded
        else:
            key, offset, step, global_shape = key.located(input.shape, batch_dim, offset, step, global_shape)
    # A shorter path for the usual call in training. The conditions are in the order of their cost.
    if type(p) is float and 0.0 < p <= 1.0 and not torch.compiler.is_compiling():
        on_cpu = cpu.able(input, residual, out)
        if on_cpu or gpu.able(input, residual, out, key, generator):
            if broadcast_dims or type(broadcast_dims) is not tuple:
                check(AXES, owner, "broadcast_dims", broadcast_dims)  # the cache below takes 1.0 and True for 1
            elsewhere = (
                () if offset is step is global_shape is None else tuple(map(_hashable, (offset, step, global_shape)))
            )
            constants = law_constants(owner, law, p, input.shape, tuple(broadcast_dims), *elsewhere)
            number = as_number(key, generator)
            if on_cpu:
                return cpu.thin(input, residual, out, number, constants)
            return gpu.thin(input, residual, out, number if number < 2**63 else number - 2**64, constants)
    p = as_rate(PROBABILITY, owner, "p", p)
    check(LAW, owner, "law", law)
    check_tensor(owner, input)
    if is_zero(p):
        return _finish(input, input, residual, out)
    check_floating(owner, input)
    if law == "alpha" and input.layout is torch.sparse_coo:
        raise TypeError(
            f"`{owner}`: `input` must be dense, as alpha dropout makes other numbers of zeros. Got a sparse tensor. "
            "Convert it first: input.to_dense()."
        )
    if input.is_nested:
        result = _drop_rows(input, p, given, generator, broadcast_dims, batch_dim, law, owner)
        return _finish(input, result, residual, out)
    _check_recorded(owner)
    where = place(input.shape, broadcast_dims=broadcast_dims, offset=offset, step=step, global_shape=global_shape)
    result = torch.ops.thinned.drop(
        input,
        key_for(input, key, generator),
        packed(law, p, owner),
        False,
        [signed(stride) for stride in where.strides],
        signed(where.base),
    )
    return _finish(input, result, residual, out)


Key = int | Tensor | Placed | None


def _drop_rows(
    input: Tensor,
    p: Rate,
    key: Key,
    generator: torch.Generator | None,
    broadcast_dims: Sequence[int],
    batch_dim: int | None,
    law: str,
    owner: str,
) -> Tensor:
    """`drop` of a nested tensor."""

    def of_padded(x: Tensor) -> Tensor:
        return drop(
            x,
            p,
            key=key,
            generator=generator,
            broadcast_dims=broadcast_dims,
            batch_dim=batch_dim,
            law=law,
            owner=owner,
        )

    return through_padded(input, of_padded)


def _gaussian_rows(
    input: Tensor,
    sigma: Rate,
    key: Key,
    generator: torch.Generator | None,
    broadcast_dims: Sequence[int],
    batch_dim: int | None,
    owner: str,
) -> Tensor:
    """`gaussian` of a nested tensor."""

    def of_padded(x: Tensor) -> Tensor:
        return gaussian(
            x, sigma, key=key, generator=generator, broadcast_dims=broadcast_dims, batch_dim=batch_dim, owner=owner
        )

    return through_padded(input, of_padded)


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
    owner: str = "gaussian",
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
    given = key
    if isinstance(key, Placed):
        if input.is_nested:
            key = key.key  # located when it is padded
        else:
            key, offset, step, global_shape = key.located(input.shape, batch_dim, offset, step, global_shape)
    sigma = as_rate(DEVIATION, owner, "sigma", sigma)
    check_tensor(owner, input)
    if is_zero(sigma):
        return input
    check_floating(owner, input)
    if input.is_nested:
        return _gaussian_rows(input, sigma, given, generator, broadcast_dims, batch_dim, owner)
    _check_recorded(owner)
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


def _check_recorded(owner: str) -> None:
    """Refuse noise in a recording of torch.jit.trace: the positions of its shape would be constants of the recording.

    With an input of another shape, units would share draws without an error.
    """
    if not torch.compiler.is_compiling() and tracing_state() is not None:
        raise RuntimeError(
            f"`{owner}`: noise must not be recorded by torch.jit.trace, which torch.onnx.export(dynamo=False) uses. "
            "Got a call that draws. Call model.eval() first; a model in training is exported by torch.export.export."
        )
