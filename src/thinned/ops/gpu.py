"""The GPU backend: kernels in Triton, which take the place of the eager backend on the devices where they are trusted.

`drop`, `gaussian` and `uniform` are the kernels of the operators on a GPU. `thin` is `drop` without torch's dispatcher,
for the calls that `able` allows. Nothing here waits for the device, but for the first call on it (`triton/trust.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._torch import dispatch_keys, dispatch_modes, forward_mode, function_mode, innermost_transform, tracing_state
from ..noise.law import LEVELS
from . import eager
from .cpu import Constants, without_sums, writable
from .philox import signed
from .triton import trust
from .triton.arrange import DROP, GAUSSIAN, UNIFORM

if TYPE_CHECKING:
    from .triton.launch import Key, Ready

Numbers = tuple[int, float, float, float]

_TYPES = {torch.float32, torch.float64, torch.bfloat16, torch.float16}
_plain_keys: set[str] = set()  # the dispatch keys of ordinary tensors on the devices below
_learnt: set[torch.device] = set()  # the devices that are trusted, once a call has come by the dispatcher
# Launches of `thin`, by all that decides them but the key; each holds its constants, so their id is theirs alone.
_ready: dict[tuple[Any, ...], Ready] = {}
MOST_READY = 1024


def drop(
    x: Tensor, key: Tensor, threshold: int, scale: float, shift: float, fill: float, strides: Sequence[int], base: int
) -> Tensor:
    """`eager.drop`, by the kernels. Complex numbers, and p = 1, go to `eager.drop`."""
    numbers = (threshold, scale, shift, fill)
    if threshold >= LEVELS or not _served(x):
        return eager.drop(x, key, *numbers, strides, base)
    return _noise(x, key, DROP, numbers, strides, base)


def gaussian(x: Tensor, key: Tensor, sigma: float, strides: Sequence[int], base: int) -> Tensor:
    """`eager.gaussian`, by the kernels. Complex numbers, and an infinite sigma, go to `eager.gaussian`."""
    if sigma == math.inf or not _served(x):
        return eager.gaussian(x, key, sigma, strides, base)
    return _noise(x, key, GAUSSIAN, (0, sigma, 0.0, 0.0), strides, base)


def uniform(x: Tensor, key: Tensor, strides: Sequence[int], base: int) -> Tensor:
    """`eager.uniform`, by the kernels. Complex numbers go to `eager.uniform`."""
    if not _served(x):
        return eager.uniform(x, key, strides, base)
    return _noise(x, key, UNIFORM, (0, 0.0, 0.0, 0.0), strides, base)


def _served(x: Tensor) -> bool:
    """Whether the kernels do this. The first such call on a device opens the shorter path, `thin`, to later ones."""
    served = x.dtype in _TYPES and trust.trusted(x.device)
    if served and x.device not in _learnt:
        _learn(x.device)
    return served


def _noise(x: Tensor, key: Tensor, law: int, numbers: Numbers, strides: Sequence[int], base: int) -> Tensor:
    """A new tensor with noise on `x`. One launch for each key."""
    many = key.ndim
    y = _like(x)
    positions = tuple(step % 2**64 for step in strides[many:])
    there = key.device == x.device
    keys = key.flatten().unbind() if there else key.flatten().tolist()
    for row, each in zip(itertools.product(*map(range, key.shape)), keys, strict=True):
        _run(y[row], x[row], None, each, law, numbers, positions, base % 2**64)
    return y


def _like(x: Tensor) -> Tensor:
    """New memory in the layout of `x`, or contiguous where elements of `x` share memory."""
    spread = 0 in x.stride()
    return torch.empty_like(x, memory_format=torch.contiguous_format if spread else torch.preserve_format)


def _run(
    y: Tensor,
    x: Tensor,
    residual: Tensor | None,
    key: Key,
    law: int,
    numbers: Numbers,
    positions: tuple[int, ...],
    base: int,
) -> None:
    from .triton.launch import noise_into  # needs Triton

    if _here(x.device):
        noise_into(y, x, residual, key, law, numbers, positions, base)
    else:
        with trust.on(x.device):
            noise_into(y, x, residual, key, law, numbers, positions, base)


def _here(device: torch.device) -> bool:
    """Whether a launch reaches this device."""
    if device.type == "cuda":
        return device.index == torch.cuda.current_device()
    return device.type != "xpu" or device.index == torch.xpu.current_device()


def able(
    x: Tensor, residual: Tensor | None, out: Tensor | None, key: object, generator: torch.Generator | None
) -> bool:
    """Whether `thin` may do this call: there is no dispatch mode, function mode, transform, trace or recording, the key
    is a number or not drawn yet, and the kernels support the types and layouts. The first call on a device may not."""
    return (
        _plain(x)
        and generator is None
        and not isinstance(key, Tensor)
        and not dispatch_modes()
        and innermost_transform() is None
        and not function_mode()
        and tracing_state() is None
        and (residual is None or _alike(x, residual))
        and (out is None or writable(x, residual, out, _alike))
        and (key is not None or not trust.capturing(x.device))
    )


def _plain(x: Tensor) -> bool:
    """Whether `x` is an ordinary tensor on a trusted GPU, of a type that the kernels support, and without a tangent."""
    kind = type(x)
    return (
        (kind is Tensor or kind is torch.nn.Parameter)
        and dispatch_keys(x).raw_repr() in _plain_keys
        and x.dtype in _TYPES
        and forward_mode["_current_level"] < 0
        and x.device in _learnt
    )


def _learn(device: torch.device) -> None:
    """Learn the dispatch keys of an ordinary strided tensor there. A tensor with a further key needs the dispatcher."""
    for inference in (True, False):
        with torch.inference_mode(inference):
            _plain_keys.add(dispatch_keys(torch.empty(0, device=device)).raw_repr())
    _learnt.add(device)


def _alike(x: Tensor, other: Tensor) -> bool:
    return _plain(other) and other.shape == x.shape and other.dtype == x.dtype and other.device == x.device


def thin(x: Tensor, residual: Tensor | None, out: Tensor | None, key: int, constants: Constants) -> Tensor:
    """`drop`, or `residual + drop(x)`, with a gradient; in place if `out` is `x`. Only for calls that `able` allows.

    The backward pass needs the numbers, and no tensor.
    """
    if torch.is_grad_enabled() and (x.requires_grad or (residual is not None and residual.requires_grad)):
        result: Tensor = _apply(x, residual, out, key, constants)
        return result
    if out is None:
        return _new(x, residual, key, constants)
    _write(out, x, residual, key, constants)
    torch.autograd.graph.increment_version(out)
    return out


class _ThinOnGpu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, residual: Tensor | None, out: Tensor | None, key: int, constants: Constants
    ) -> Tensor:
        ctx.numbers = key, constants
        if out is None:
            return _new(x, residual, key, constants)
        ctx.mark_dirty(x)
        _write(x, x, residual, key, constants)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        needs_x, needs_residual, *_ = ctx.needs_input_grad
        ours = _linear(grad, *ctx.numbers) if needs_x else None
        return ours, grad if needs_residual else None, None, None, None


# `Function.apply` without its checks for torch.func, which `able` has made already.
_apply: Callable[..., Any] = super(torch.autograd.Function, _ThinOnGpu).apply


def _linear(x: Tensor, key: int, constants: Constants) -> Tensor:
    """The linear part of the map, for a gradient. The gradient may be a batch of vmap, or itself need a gradient."""
    threshold, scale, shift, fill, strides, base = constants
    if _plain(x):
        return thin(x, None, None, key, without_sums(constants) if shift or fill else constants)
    law = torch.tensor((threshold, scale, 0.0, 0.0), dtype=torch.float64, device="cpu")
    result: Tensor = torch.ops.thinned.drop(
        x, torch.tensor(signed(key), device="cpu"), law, True, [signed(step) for step in strides], signed(base)
    )
    return result


def _new(x: Tensor, residual: Tensor | None, key: int, constants: Constants) -> Tensor:
    """The result in new memory.

    A drop that was launched before, on a tensor alike, goes past all that its arguments decide.
    """
    if residual is None:
        device = x.device
        alike = (id(constants), x.shape, x.stride(), x.dtype, device)
        known = _ready.get(alike)
        if known is not None and not x.data_ptr() % 16 and _here(device):
            y = torch.empty_like(x)
            known.call(y, x, x, y, *known.counts, key, *known.rest)
            return y
    y = _like(x)
    _write(y, x, residual, key, constants)
    if residual is None and known is None and y.stride() == x.stride() and constants[0] < LEVELS:
        from .triton.launch import ready  # needs Triton

        if (found := ready(y, x, constants)) is not None:
            if len(_ready) >= MOST_READY:
                _ready.clear()
            _ready[alike] = found
    return y


def _write(y: Tensor, x: Tensor, residual: Tensor | None, key: int, constants: Constants) -> None:
    threshold, scale, shift, fill, strides, base = constants
    if threshold < LEVELS:
        _run(y, x, residual, key, DROP, (threshold, scale, shift, fill), strides, base)
        return
    y.fill_(fill)
    if residual is not None:
        y += residual
