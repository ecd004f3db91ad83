"""The CPU backend: it calls the compiled kernel with the address of a tensor's memory.

`drop` is the CPU kernel of the operator `thinned::drop`. `thin` gives the same result without torch's dispatcher, whose
cost is larger than the work on ten thousand elements. It may be used only if `able` says so.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .._torch import dispatch_keys, dispatch_modes, forward_mode, function_mode, innermost_transform, tracing_state
from ..noise import place
from ..noise.kernel import DROP, TYPES, announce, kernel, module
from . import eager
from .philox import signed

__all__ = ["able", "drop", "kernel", "linear", "thin", "without_sums", "writable"]

_TYPES = {getattr(torch, name): number for name, number in TYPES.items()}
_threads = torch.get_num_threads

# The dispatch keys of an ordinary strided tensor in this process's memory. A tensor with any further key needs the
# dispatcher: another device or layout, a pending negation, the batch of an outer vmap, a fake tensor.
with torch.inference_mode():
    _PLAIN_KEYS = {dispatch_keys(torch.empty(0, device="cpu")).raw_repr()}
with torch.inference_mode(False):
    _PLAIN_KEYS.add(dispatch_keys(torch.empty(0, device="cpu")).raw_repr())

if module:  # in the order of csrc/call.cpp
    module.set_torch(
        0,
        (
            Tensor,
            torch.nn.Parameter,
            _TYPES,
            dispatch_keys,
            _PLAIN_KEYS,
            forward_mode,
            dispatch_modes,
            function_mode,
            innermost_transform,
            tracing_state,
            torch.empty_like,
            _threads,
        ),
    )


def drop(
    x: Tensor, key: Tensor, threshold: int, scale: float, shift: float, fill: float, strides: Sequence[int], base: int
) -> Tensor:
    """`eager.drop`, computed by the compiled kernel. Complex numbers and keys on another device go to `eager.drop`."""
    if kernel.run is None:
        announce()
    if kernel.run is None or x.dtype not in _TYPES or key.device.type != "cpu":
        return eager.drop(x, key, threshold, scale, shift, fill, strides, base)
    law = (threshold, scale, shift, fill)
    many = key.ndim
    if 0 in x.stride()[many:]:
        x = x.contiguous()
    # If all keys share one tensor, its stride along the keys is 0, and preserve_format would make this axis innermost.
    shared = 0 in x.stride()[:many]
    y = torch.empty_like(x, memory_format=torch.contiguous_format if shared else torch.preserve_format)
    # One call of the kernel for each key, with addresses: making a view takes longer than the noise of a row.
    shape, ours, theirs, size = x.shape[many:], y.stride(), x.stride(), x.element_size()
    memory = (shape, ours[many:], theirs[many:], theirs[many:], _threads())
    place = (tuple(strides[many:]), base)
    form, to, come, run = _TYPES[x.dtype], y.data_ptr(), x.data_ptr(), kernel.run
    for row, number in zip(itertools.product(*map(range, key.shape)), key.flatten().tolist(), strict=True):
        there, here = (size * sum(map(operator.mul, row, steps)) for steps in (ours, theirs))
        run(DROP, form, to + there, come + here, 0, *memory, number, *law, *place)
    return y


def able(x: Tensor, residual: Tensor | None = None, out: Tensor | None = None) -> bool:
    """Whether `thin` may do this call: there is no dispatch mode, function mode, transform or trace, and the kernel
    supports the types and layouts. Every other call goes through torch's dispatcher."""
    return (
        kernel.able(x)
        and (residual is None or _alike(x, residual))
        and (out is None or writable(x, residual, out, _alike))
    )


def _alike(x: Tensor, other: Tensor) -> bool:
    """Whether `other` is an ordinary tensor with the shape and type of `x`."""
    return kernel.plain(other) and other.shape == x.shape and other.dtype == x.dtype


def writable(x: Tensor, residual: Tensor | None, out: Tensor, alike: Callable[[Tensor, Tensor], bool]) -> bool:
    """Whether a kernel may write to `out` directly. Otherwise torch must check, resize or record the result.

    Arguments:
        alike: whether the kernel's backend has `out` for a tensor like `x`.
    """
    if residual is not None or not out.is_contiguous() or out.is_inference():
        return False
    recorded = torch.is_grad_enabled() and (x.requires_grad or out.requires_grad)
    if out is x:
        return not (recorded and (x.is_leaf or x._is_view()))
    apart = out.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    return apart and not recorded and alike(x, out)


# Threshold, scale, shift, fill, the noise's strides, and its base. None: strides in the order of the shape.
Constants = tuple[int, float, float, float, tuple[int, ...], int]
AnyShape = tuple[int, float, float, float, None, int]
Numbers = tuple[int, Constants | AnyShape]  # with the key


def thin(x: Tensor, residual: Tensor | None, out: Tensor | None, key: int, constants: Constants | AnyShape) -> Tensor:
    """`drop`, or `residual + drop(x)`, with a gradient; in place if `out` is `x`. Only for calls that `able` allows.

    The backward pass needs the numbers, and no tensor.
    """
    if torch.is_grad_enabled() and (x.requires_grad or (residual is not None and residual.requires_grad)):
        result: Tensor = _apply(x, (key, constants), residual, out)
        return result
    y: Tensor = kernel.thin(x, residual, out, key, constants)
    if out is not None:
        torch.autograd.graph.increment_version(out)
    return y


class _Thin(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, numbers: Numbers, residual: Tensor | None = None, out: Tensor | None = None
    ) -> Tensor:
        ctx.numbers = numbers
        if out is not None:
            ctx.mark_dirty(x)
        y: Tensor = kernel.thin(x, residual, out, *numbers)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        needs_x, _, *more = ctx.needs_input_grad
        ours = linear(grad, *ctx.numbers) if needs_x else None
        return ours, None, grad if more and more[0] else None, None


def linear(x: Tensor, key: int, constants: Constants | AnyShape) -> Tensor:
    """The linear part of the map, for a gradient. The gradient may be a batch of vmap, or itself need a gradient."""
    threshold, scale, shift, fill, strides, base = constants
    if kernel.plain(x):
        return thin(x, None, None, key, without_sums(constants) if shift or fill else constants)
    result: Tensor = torch.ops.thinned.drop(
        x,
        torch.tensor(signed(key), device="cpu"),
        torch.tensor((threshold, scale, 0.0, 0.0), dtype=torch.float64, device="cpu"),
        True,
        [signed(step) for step in (place(x.shape).strides if strides is None else strides)],
        signed(base),
    )
    return result


@lru_cache(maxsize=1024)
def without_sums(constants: Constants) -> Constants:
    """The constants of the linear part."""
    threshold, scale, _, _, strides, base = constants
    return threshold, scale, 0.0, 0.0, strides, base


# `Function.apply` without its checks for torch.func, which `able` has made already.
_apply: Callable[..., Any] = super(torch.autograd.Function, _Thin).apply
