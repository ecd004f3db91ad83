"""Defines the torch operators `thinned::drop`, `thinned::gaussian` and `thinned::uniform`, with their derivatives.

With a fixed key each operator is affine in `x`. So the gradient, the tangent and the second derivative are the linear
part of the same operator, applied to another tensor. Only the key and the law are saved for them. The law (the numbers
computed from p) is a small CPU tensor (`rate.py`), so that one graph serves every p.

The autograd kernel is registered by hand, because `torch.library.register_autograd` does not support forward mode: it
returns a zero tangent without an error. It uses a single-level autograd function, because the dispatcher calls the
kernel once for each level of `torch.func`; an ordinary `autograd.Function` would start again at the outermost level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._torch import (
    BelowAutograd,
    SingleLevelFunction,
    after_autograd,
    forward_mode,
    innermost_transform,
    set_forward_grad,
    single_level_allowed,
)
from . import cpu, eager, gpu
from .argument import check_call
from .rate import unpacked

_library = torch.library.Library("thinned", "DEF")
# A recorded CUDA graph would replay one key, and so one mask. With this tag, torch.compile's mode "reduce-overhead"
# runs our operators outside of the recorded graphs, in torch 2.11 and later.
_TAGS = (torch.Tag.cudagraph_unsafe,) if hasattr(torch.Tag, "cudagraph_unsafe") else ()


def _register(name: str, kernel: Callable[..., Tensor]) -> None:
    """Define `thinned::name` with its kernels for eager mode, fake tensors, autograd and vmap.

    The operator's argument `linear` asks for the linear part of the map: without shift, and with fill 0.
    """
    schema = f"{name}(Tensor x, Tensor key, Tensor law, bool linear, SymInt[] strides, SymInt base) -> Tensor"
    _library.define(schema, tags=_TAGS)
    operator: Any = getattr(torch.ops.thinned, name).default

    def below(keyset: Any, *arguments: Any) -> Any:
        # Call the operator below the autograd of this level. Both gradient modes are on, because the inner levels of
        # torch.func need them to record their own derivatives.
        with BelowAutograd(), torch.enable_grad(), set_forward_grad(True):
            return operator.redispatch(keyset & after_autograd, *arguments)

    class Apply(SingleLevelFunction):
        forward = staticmethod(below)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            _, _, key, law, _, *ctx.place = inputs
            ctx.save_for_backward(key, law)
            ctx.save_for_forward(key, law)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
            return None, operator(grad, *ctx.saved_tensors, True, *ctx.place), None, None, None, None, None

        @staticmethod
        def jvp(ctx: Any, _: Any, tangent: Tensor, *__: Any) -> Any:
            return operator(tangent, *ctx.saved_tensors, True, *ctx.place)

    Apply.__name__ = name.capitalize()
    apply: Any = Apply.apply  # type: ignore[attr-defined]

    def autograd(keyset: Any, x: Tensor, *arguments: Any) -> Any:
        recorded = torch.is_grad_enabled() and x.requires_grad
        if not recorded and forward_mode["_current_level"] < 0 and innermost_transform() is None:
            return below(keyset, x, *arguments)
        with single_level_allowed():
            return apply(keyset, x, *arguments)

    def meta(x: Tensor, key: Tensor, law: Tensor, linear: bool, strides: Sequence[int], base: int) -> Tensor:
        check_call(name, x, key, law, strides)
        return torch.empty_like(x)

    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        x: Tensor,
        key: Tensor,
        law: Tensor,
        linear: bool,
        strides: Sequence[int],
        base: int,
    ) -> tuple[Tensor, int]:
        x_dim, key_dim, law_dim = in_dims[:3]
        if law_dim is not None:
            # A kernel takes one law in a call, so the rows are computed one by one.
            given = list(zip((x, key, law), in_dims[:3], strict=True))
            rows = (
                [value if dim is None else value.select(dim, row) for value, dim in given]
                for row in range(info.batch_size)
            )
            return torch.stack([operator(*row, linear, strides, base) for row in rows]), 0
        rows_before = key.ndim - (key_dim is not None)
        # The batch becomes the first axis of x, with one key for each row if the keys differ. Its noise stride is 0, so
        # that it does not change a position.
        x = x.movedim(x_dim, 0) if x_dim is not None else x.expand(info.batch_size, *x.shape)
        if key_dim is not None:
            key = key.movedim(key_dim, 0)
        elif rows_before:
            key = key.expand(info.batch_size, *key.shape)
        return operator(x, key, law, linear, [0, *strides], base), 0

    _library.impl(name, kernel, "CompositeExplicitAutograd")
    _library.impl(name, autograd, "Autograd", with_keyset=True)
    torch.library.register_fake(f"thinned::{name}", meta, lib=_library)
    torch.library.register_vmap(f"thinned::{name}", vmap, lib=_library)


Kernel = Callable[[Tensor, Tensor, Tensor, bool, Sequence[int], int], Tensor]


def _of(backend: Any) -> dict[str, Kernel]:
    """The kernels of the operators, by a backend's functions of the same names."""

    def drop(x: Tensor, key: Tensor, law: Tensor, linear: bool, strides: Sequence[int], base: int) -> Tensor:
        check_call("drop", x, key, law, strides)
        result: Tensor = backend.drop(x, key, *unpacked(law, linear), strides, base)
        return result

    def gaussian(x: Tensor, key: Tensor, law: Tensor, linear: bool, strides: Sequence[int], base: int) -> Tensor:
        check_call("gaussian", x, key, law, strides)
        result: Tensor = backend.gaussian(x, key, eager.checked_deviation(law), strides, base)
        return result

    def uniform(x: Tensor, key: Tensor, law: Tensor, linear: bool, strides: Sequence[int], base: int) -> Tensor:
        check_call("uniform", x, key, law, strides)
        result: Tensor = backend.uniform(x, key, strides, base)
        return result

    return {"drop": drop, "gaussian": gaussian, "uniform": uniform}


for _name, _kernel in _of(eager).items():
    _register(_name, _kernel)
_library.impl("drop", _of(cpu)["drop"], "CPU")
for _device in ("CUDA", "XPU"):
    for _name, _kernel in _of(gpu).items():
        _library.impl(_name, _kernel, _device)
