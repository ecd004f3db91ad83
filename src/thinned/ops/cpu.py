"""The CPU backend: it calls the compiled kernel with the address of a tensor's memory.

`drop` is the CPU kernel of the operator `thinned::drop`. `thin` gives the same result without torch's dispatcher, whose
cost is larger than the work on ten thousand elements. It may be used only if `able` says so.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._torch import dispatch_keys, dispatch_modes, forward_mode, function_mode, innermost_transform, tracing_state
from ..noise.kernel import ADD, DROP, TYPES, announce, kernel
from . import eager
from .philox import signed

_TYPES = {getattr(torch, name): number for name, number in TYPES.items()}
_threads = torch.get_num_threads

# The dispatch keys of an ordinary strided tensor in this process's memory. A tensor with any further key needs the
# dispatcher: another device or layout, a pending negation, the batch of an outer vmap, a fake tensor.
with torch.inference_mode():
    _PLAIN_KEYS = {dispatch_keys(torch.empty(0, device="cpu")).raw_repr()}
with torch.inference_mode(False):
    _PLAIN_KEYS.add(dispatch_keys(torch.empty(0, device="cpu")).raw_repr())


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
        _plain(x)
        and kernel.run is not None
        and not dispatch_modes()
        and innermost_transform() is None
        and not function_mode()
        and tracing_state() is None
        and (residual is None or _alike(x, residual))
        and (out is None or writable(x, residual, out, _alike))
    )


def _plain(x: Tensor) -> bool:
    """Whether `x` is an ordinary CPU tensor of a type that the kernel supports, outside of forward-mode autograd."""
    kind = type(x)
    return (
        (kind is Tensor or kind is torch.nn.Parameter)
        and dispatch_keys(x).raw_repr() in _PLAIN_KEYS
        and x.dtype in _TYPES
        and forward_mode["_current_level"] < 0
    )


def _alike(x: Tensor, other: Tensor) -> bool:
    """Whether `other` is an ordinary tensor with the shape and type of `x`."""
    return _plain(other) and other.shape == x.shape and other.dtype == x.dtype


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


# Threshold, scale, shift, fill, the noise's strides, and its base. `Numbers` has the key in front of them.
Constants = tuple[int, float, float, float, tuple[int, ...], int]
Numbers = tuple[int, int, float, float, float, tuple[int, ...], int]


def thin(x: Tensor, residual: Tensor | None, out: Tensor | None, numbers: Numbers) -> Tensor:
    """`drop`, or `residual + drop(x)`, with a gradient; in place if `out` is `x`. Only for calls that `able` allows.

    The backward pass needs the numbers, and no tensor.
    """
    if torch.is_grad_enabled() and (x.requires_grad or (residual is not None and residual.requires_grad)):
        result: Tensor = _apply(x, residual, out, numbers)
        return result
    y = torch.empty_like(x) if out is None else out
    _run(y, x, residual, numbers)
    if out is not None:
        torch.autograd.graph.increment_version(out)
    return y


class _Thin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, out: Tensor | None, numbers: Numbers) -> Tensor:
        ctx.numbers = numbers
        if out is not None:
            ctx.mark_dirty(x)
        y = torch.empty_like(x) if out is None else x
        _run(y, x, residual, numbers)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        needs_x, needs_residual, *_ = ctx.needs_input_grad
        ours = _linear(grad, ctx.numbers) if needs_x else None
        return ours, grad if needs_residual else None, None, None


def _linear(x: Tensor, numbers: Numbers) -> Tensor:
    """The linear part of the map, for a gradient. The gradient may be a batch of vmap, or itself need a gradient."""
    key, threshold, scale, shift, fill, strides, base = numbers
    if _plain(x):
        return thin(x, None, None, (key, threshold, scale, 0.0, 0.0, strides, base) if shift or fill else numbers)
    result: Tensor = torch.ops.thinned.drop(
        x,
        torch.tensor(signed(key), device="cpu"),
        torch.tensor((threshold, scale, 0.0, 0.0), dtype=torch.float64, device="cpu"),
        True,
        [signed(step) for step in strides],
        signed(base),
    )
    return result


# `Function.apply` without its checks for torch.func, which `able` has made already.
_apply: Any = super(torch.autograd.Function, _Thin).apply


def _run(y: Tensor, x: Tensor, residual: Tensor | None, numbers: Numbers) -> None:
    """Call the kernel: write `drop(x)`, plus the residual if there is one, to `y`."""
    steps = x.stride()
    if 0 in steps and x is not y:
        # The gradient of a sum is one number with strides 0. The kernel's fast loop needs contiguous memory.
        x = x.contiguous()
        steps = x.stride()
    if residual is None:
        form, address, residual_steps = DROP, 0, steps
    else:
        form, address, residual_steps = ADD, residual.data_ptr(), residual.stride()
    kernel.run(
        form,
        _TYPES[x.dtype],
        y.data_ptr(),
        x.data_ptr(),
        address,
        x.shape,
        y.stride(),
        steps,
        residual_steps,
        _threads(),
        *numbers,
    )
