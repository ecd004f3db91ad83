"""Dropout as a layer of Flax linen, with the noise of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..extra import needed
from .functions import dropout
from .words import Array

needed("flax.linen", "thinned.interop.jax.linen", "Flax", "flax")

from flax import linen  # noqa: E402


class Dropout(linen.Module):  # type: ignore[misc]
    """`flax.linen.Dropout` with our mask: zero each unit with probability p, and scale the units that are kept.

    `y = x * m / q`, m ~ Bernoulli(q); with `deterministic`, `y = x`. The key of a call is `make_rng(rng_collection)`,
    and the mask that of `thinned.interop.jax.dropout`.

    Arguments: `p`, the probability that a unit is dropped; `broadcast_dims`, axes along which one draw is shared;
    `deterministic`, here or in the call; `rng_collection`, of the stream of keys. The call takes a key, `rng`, too.

    >>> import jax
    >>> ones = jax.numpy.ones(4)
    >>> Dropout(0.5, deterministic=False).apply({}, ones, rngs={"dropout": jax.random.key(0)}).shape
    (4,)
    """

    p: float
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @linen.compact  # type: ignore[untyped-decorator]
    def __call__(self, inputs: Array, deterministic: bool | None = None, rng: Any = None) -> Array:
        if linen.merge_param("deterministic", self.deterministic, deterministic):
            return inputs
        traced = hasattr(self.p, "dtype")
        if not traced and self.p == 0:
            return inputs
        key = self.make_rng(self.rng_collection) if rng is None else rng
        return dropout(inputs, self.p, key, broadcast_dims=self.broadcast_dims)
