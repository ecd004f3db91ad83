"""What a drop probability stands for: the threshold of its lanes and the scale of survivors, traced or not."""

from __future__ import annotations

import numbers
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...noise import PROBABILITY, check, scale, threshold
from ...noise.law import LEVELS


def rate(owner: str, p: Any) -> tuple[Any, Any]:
    """Threshold and scale: numbers of a number, scalars of an array, which is clipped to [0, 1].

    Raises:
        TypeError, ValueError: a number outside [0, 1], or an array that is no scalar.
    """
    if isinstance(p, numbers.Real) or not hasattr(p, "dtype"):
        return threshold(check(PROBABILITY, owner, "p", p)), scale(p)
    if np.shape(p) or not jnp.issubdtype(p.dtype, jnp.floating):
        raise TypeError(
            f"`{owner}`: `p` must be a number in [0, 1], or one floating-point scalar. Got {p.dtype} of shape "
            f"{np.shape(p)}. Under jax.vmap, pass one p a row."
        )
    given = lax.stop_gradient(p if p.dtype == np.float64 else jnp.asarray(p, jnp.float32))
    scaled = jnp.clip(given, 0, 1) * LEVELS
    whole = jnp.floor(scaled)
    nearest = jnp.minimum(whole + (scaled - whole >= 0.5), LEVELS - 1)
    dropped = jnp.where(given >= 1, LEVELS, jnp.where(jnp.isnan(given), 0, nearest))
    survivors = jnp.float32(LEVELS) / jnp.maximum(LEVELS - dropped, 1).astype(jnp.float32)
    # A nan stays visible: all units are kept, and are nan.
    scales = jnp.where(jnp.isnan(given), jnp.float32(jnp.nan), jnp.where(given >= 1, jnp.float32(0), survivors))
    return dropped.astype(jnp.uint32), scales
