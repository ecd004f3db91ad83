"""How noise meets a tensor: two torch operators, `thinned::drop` and `thinned::gaussian`.

Both are affine in `x` once the key is fixed, so each is its own backward: the gradient, the tangent and the gradient of
the gradient are the same operator on another tensor, without the constants. Only the key is saved.

The autograd kernel is registered by hand because `torch.library.register_autograd` knows no forward mode: it returns a
zero tangent in silence. A single-level function is what a dispatcher kernel needs: `torch.func`'s levels come through
the dispatcher one by one, and an ordinary `autograd.Function` would start at the outermost again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd.forward_ad import _set_fwd_grad_enabled
from torch.autograd.function import _SingleLevelFunction

from . import eager

_library = torch.library.Library("thinned", "DEF")

Constants = tuple[Any, ...]


def _register(
    name: str, arguments: str, forward: Callable[..., Tensor], linear: Callable[[Constants], Constants]
) -> None:
    """Define `thinned::name(x, key, *constants, strides, base)` with its eager, meta, autograd and vmap kernels.

    `linear` turns the constants into those of the map's linear part.
    """
    _library.define(f"{name}(Tensor x, Tensor key, {arguments}, SymInt[] strides, SymInt base) -> Tensor")
    operator: Any = getattr(torch.ops.thinned, name).default

    class Apply(_SingleLevelFunction):
        @staticmethod
        def forward(keyset: Any, x: Tensor, key: Tensor, *rest: Any) -> Any:
            # Below this level's autograd; the levels of torch.func underneath need both modes on to record their own.
            with torch._C._AutoDispatchBelowAutograd(), torch.enable_grad(), _set_fwd_grad_enabled(True):
                return operator.redispatch(keyset & torch._C._after_autograd_keyset, x, key, *rest)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            _, _, key, *rest = inputs
            ctx.save_for_backward(key)
            ctx.save_for_forward(key)
            ctx.rest = linear(tuple(rest))

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
            (key,) = ctx.saved_tensors
            return (None, operator(grad, key, *ctx.rest), *(None for _ in range(1 + len(ctx.rest))))

        @staticmethod
        def jvp(ctx: Any, _: Any, tangent: Tensor, *__: Any) -> Any:
            (key,) = ctx.saved_tensors
            return operator(tangent, key, *ctx.rest)

    Apply.__name__ = name.capitalize()
    apply: Any = Apply.apply  # type: ignore[attr-defined]

    def autograd(keyset: Any, x: Tensor, key: Tensor, *rest: Any) -> Any:
        with enable_single_level_autograd_function():
            return apply(keyset, x, key, *rest)

    def meta(x: Tensor, key: Tensor, *rest: Any) -> Tensor:
        return torch.empty_like(x)

    def vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, key: Tensor, *rest: Any) -> tuple[Tensor, int]:
        *constants, strides, base = rest
        x_dim, key_dim = in_dims[:2]
        rows = key.ndim - (key_dim is not None)
        # A row of its own for every key; the new axis has stride 0, so that it never enters a position.
        x = x.movedim(x_dim, 0) if x_dim is not None else x.expand(info.batch_size, *x.shape)
        if key_dim is not None:
            key = key.movedim(key_dim, 0)
        elif rows:
            key = key.expand(info.batch_size, *key.shape)
        return operator(x, key, *constants, [0, *strides], base), 0

    _library.impl(name, forward, "CompositeExplicitAutograd")
    _library.impl(name, autograd, "Autograd", with_keyset=True)
    torch.library.register_fake(f"thinned::{name}", meta, lib=_library)
    torch.library.register_vmap(f"thinned::{name}", vmap, lib=_library)


def _without_offset(constants: Constants) -> Constants:
    threshold, scale, _, _, strides, base = constants
    return threshold, scale, 0.0, 0.0, strides, base


_register("drop", "int threshold, float scale, float shift, float fill", eager.drop, _without_offset)
_register("gaussian", "float sigma", eager.gaussian, lambda constants: constants)
