"""`thinned_drop` as a primitive of JAX: what it is under `jit`, `vmap`, `grad` and on each device.

`y = scale * x + shift` where a unit is kept and `fill` where it is dropped: affine in x, so that its tangent and its
transpose are itself without `shift` and `fill`. They take the key, and nothing is kept for the backward pass.

Operands, K the axes of `vmap`, N the axes of one call:

- x: `(*K, *N)`, floating or complex;
- key, base: uint32 `(*K, 2)`, the high word first;
- threshold: uint32 `K`;
- law: float32 `(*K, 3)`: scale, shift and fill.

An axis of K may have size 1 in all but x. Parameters: `strides`, the noise's, one an axis of N; `origin`, whether every
base is known to be 0.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import cpu
from .lanes import noise
from .laws import BERNOULLI
from .words import Array

drop_p = Primitive("thinned_drop")


def plain(
    x: Array, key: Array, base: Array, threshold: Array, law: Array, *, strides: tuple[int, ...], origin: bool
) -> Array:
    """The primitive in operations of jnp."""
    rank = len(strides)
    shape = tuple(size if stride else 1 for size, stride in zip(x.shape[x.ndim - rank :], strides, strict=True))
    lane = noise(BERNOULLI, key, None if origin else base, shape, strides)
    ones = (1,) * rank
    kept = lane.astype(jnp.uint32) >= threshold.reshape(*threshold.shape, *ones)
    wide = x.dtype if x.dtype == np.float64 or x.dtype.kind == "c" else np.dtype(np.float32)
    real = jnp.finfo(wide).dtype
    scale, shift, fill = (law[..., number].reshape(*law.shape[:-1], *ones) for number in range(3))
    scaled = x.astype(wide) * scale.astype(real) + shift.astype(real)
    return jnp.where(kept, scaled.astype(x.dtype), fill.astype(x.dtype))


def _lowering(ctx: Any, *operands: Any, strides: tuple[int, ...], origin: bool) -> Any:
    """On the CPU the compiled kernel, unless XLA divides the array among devices: it can't divide a custom call."""
    divided = getattr(ctx.module_context.axis_context, "num_devices", 1) or 1
    if divided > 1 or not cpu.ready() or ctx.avals_in[0].dtype.name not in cpu.TYPES:
        return mlir.lower_fun(partial(plain, strides=strides, origin=origin), multiple_results=False)(ctx, *operands)
    return cpu.call(ctx, *operands, batch=ctx.avals_in[0].ndim - len(strides), strides=strides)


def _linear(t: Array, key: Array, base: Array, threshold: Array, law: Array, **parameters: Any) -> Array:
    """The linear part, of a tangent or a cotangent."""
    return drop_p.bind(t, key, base, threshold, law * np.array([1, 0, 0], np.float32), **parameters)


def _jvp(primals: Any, tangents: Any, **parameters: Any) -> tuple[Array, Any]:
    x, *rest = primals
    t = tangents[0]
    y = drop_p.bind(x, *rest, **parameters)
    return y, ad.Zero(jax.typeof(y).to_tangent_aval()) if type(t) is ad.Zero else _linear(t, *rest, **parameters)


def _transpose(ct: Any, x: Any, *rest: Any, **parameters: Any) -> tuple[Any, ...]:
    zero = type(ct) is ad.Zero
    return (ad.Zero(x.aval) if zero else _linear(ct, *rest, **parameters), *(None,) * len(rest))


def _batch(operands: Any, axes: Any, **parameters: Any) -> tuple[Array, int]:
    """A new axis of K in front."""
    size = next(value.shape[axis] for value, axis in zip(operands, axes, strict=True) if axis is not None)
    x, *rest = (
        value[None] if axis is None else jnp.moveaxis(value, axis, 0)
        for value, axis in zip(operands, axes, strict=True)
    )
    return drop_p.bind(jnp.broadcast_to(x, (size, *x.shape[1:])), *rest, **parameters), 0


@cache
def _compiled(strides: tuple[int, ...], origin: bool) -> Any:
    """The primitive alone, for calls outside of `jit`."""
    return jax.jit(lambda *operands: drop_p.bind(*operands, strides=strides, origin=origin))


drop_p.def_impl(lambda *operands, strides, origin: _compiled(strides, origin)(*operands))
drop_p.def_abstract_eval(lambda x, *rest, **parameters: x)
ad.primitive_jvps[drop_p] = _jvp
ad.primitive_transposes[drop_p] = _transpose
batching.primitive_batchers[drop_p] = _batch
mlir.register_lowering(drop_p, mlir.lower_fun(plain, multiple_results=False))
mlir.register_lowering(drop_p, _lowering, platform="cpu")
