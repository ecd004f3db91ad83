"""The compiled kernel as a custom call of XLA on the CPU (csrc/xla.cpp), registered when it is first wanted."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np

from ...noise.kernel import TYPES, announce, kernel, module

__all__ = ["TYPES", "call", "ready"]
_NAME = "thinned_drop"


@cache
def ready() -> bool:
    """Whether the kernel is here; if not, that is said once, and jnp takes its place."""
    if kernel.run is None:
        announce()
        return False
    jax.ffi.register_ffi_target(_NAME, module.xla_drop(kernel.instruction_set), platform="cpu")
    return True


def call(ctx: Any, *operands: Any, batch: int, strides: tuple[int, ...]) -> Any:
    """The lowering of the primitive on the CPU."""
    steps = np.array([step % 2**64 for step in strides], np.uint64).view(np.int64)
    return jax.ffi.ffi_lowering(_NAME)(ctx, *operands, batch=np.int64(batch), strides=steps)
