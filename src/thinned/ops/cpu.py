"""The CPU backend: the compiled kernel, straight from a tensor's address.

`drop` is the operator's CPU kernel. `thin` is a shorter way to the same result for tensors that nothing but autograd
watches: it goes around torch's dispatcher, which costs more than the work on ten thousand elements.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._torch import dispatch_keys, dispatch_modes, forward_mode, function_mode, innermost_transform, tracing_state
from ..noise.kernel import ADD, DROP, TYPES, announce, kernel
from . import eager
from .philox import signed

_TYPES = {getattr(torch, name): number for name, number in TYPES.items()}
_threads = torch.get_num_threads

# All that torch would do with a strided tensor in this process's memory. Any further key is something else to do:
# another device or layout, a pending negation, a batch of an outer vmap, a fake.
with torch.inference_mode():
    _PLAIN_KEYS = {dispatch_keys(torch.empty(0, device="cpu")).raw_repr()}
with torch.inference_mode(False):
    _PLAIN_KEYS.add(dispatch_keys(torch.empty(0, device="cpu")).raw_repr())


def drop(
    x: Tensor, key: Tensor, threshold: int, scale: float, shift: float, fill: float, strides: Sequence[int], base: int
) -> Tensor:
    """`eager.drop`, by the compiled kernel wherever it can: not for complex numbers, nor keys on another device."""
    if kernel.run is None:
        announce()
    if kernel.run is None or x.dtype not in _TYPES or key.device.type != "cpu":
        return eager.drop(x, key, threshold, scale, shift, fill, strides, base)
    law = (threshold, scale, shift, fill)
    many = key.ndim
    if 0 in x.stride()[many:]:
        x = x.contiguous()
    # Of a tensor that all keys share, torch would make the keys' axis the innermost.
    shared = 0 in x.stride()[:many]
    y = torch.empty_like(x, memory_format=torch.contiguous_format if shared else torch.preserve_format)
    # One call a key, by addresses: views would take longer than their rows' noise.
    shape, ours, theirs, size = x.shape[many:], y.stride(), x.stride(), x.element_size()
    memory = (shape, ours[many:], theirs[many:], theirs[many:], _threads())
    place = (tuple(strides[many:]), base)
    form, to, come, run = _TYPES[x.dtype], y.data_ptr(), x.data_ptr(), kernel.run
    for row, number in zip(itertools.product(*map(range, key.shape)), key.flatten().tolist(), strict=True):
        there, here = (size * sum(map(operator.mul, row, steps)) for steps in (ours, theirs))
        run(DROP, form, to + there, come + here, 0, *memory, number, *law, *place)
    return y


def able(x: Tensor, residual: Tensor | None = None, out: Tensor | None = None) -> bool:
    """Whether `thin` may do this call: only autograd watches it (no mode, transform or trace), and the kernel knows its
    types and layouts. Any other call goes through torch's dispatcher."""
    return (
        _plain(x)
        and kernel.run is not None
        and not dispatch_modes()
        and innermost_transform() is None
        and not function_mode()
        and tracing_state() is None
        and (residual is None or _alike(x, residual))
        and (out is None or _writable(x, residual, out))
    )


def _plain(x: Tensor) -> bool:
    kind = type(x)
    return (
        (kind is Tensor or kind is torch.nn.Parameter)
        and dispatch_keys(x).raw_repr() in _PLAIN_KEYS
        and x.dtype in _TYPES
        and forward_mode["_current_level"] < 0
    )


def _alike(x: Tensor, other: Tensor) -> bool:
    return _plain(other) and other.shape == x.shape and other.dtype == x.dtype


def _writable(x: Tensor, residual: Tensor | None, out: Tensor) -> bool:
    """Whether the kernel may write there itself: in the other cases torch refuses, resizes or records."""
    recorded = torch.is_grad_enabled() and (x.requires_grad or out.requires_grad)
    if not out.is_contiguous() or out.is_inference():
        return False
    if out is x:
        return residual is None and not (recorded and (x.is_leaf or x._is_view()))
    apart = out.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    return residual is None and apart and not recorded and _alike(x, out)


# The threshold, scale, shift and fill, then the noise's strides and base; a key goes before them.
Constants = tuple[int, float, float, float, tuple[int, ...], int]
Numbers = tuple[int, int, float, float, float, tuple[int, ...], int]


def thin(x: Tensor, residual: Tensor | None, out: Tensor | None, numbers: Numbers) -> Tensor:
    """`drop` of what it is able to do, differentiable: `residual + drop(x)`, in place where `out` is `x`.

    Nothing of the tensors is kept for the backward pass: the numbers are.
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
    """The map without its constants, of any tensor: a gradient may be a batch of them, or on its way to a graph."""
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


# `Function.apply` without its questions about torch.func, which `able` has asked.
_apply: Any = super(torch.autograd.Function, _Thin).apply


def _run(y: Tensor, x: Tensor, residual: Tensor | None, numbers: Numbers) -> None:
    steps = x.stride()
    if 0 in steps and x is not y:
        # The gradient of a sum is one number seen many times: the kernel's fast loop wants real ones.
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
