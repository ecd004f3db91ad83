"""Dropout as a layer of Flax NNX, with the noise of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..extra import needed
from .functions import dropout
from .words import Array

needed("flax.nnx", "thinned.interop.jax.nnx", "Flax", "flax")

from flax import nnx  # noqa: E402


class Dropout(nnx.Dropout):  # type: ignore[misc]
    """`flax.nnx.Dropout` with our mask: zero each unit with probability p, and scale the units that are kept.

    `y = x * m / q`, m ~ Bernoulli(q); with `deterministic`, `y = x`. The key of a call is the next one of the stream,
    and the mask that of `thinned.interop.jax.dropout`.

    Arguments: `p`, the probability that a unit is dropped; `broadcast_dims`, axes along which one draw is shared;
    `deterministic`, `rng_collection`, `rngs` as Flax's. The call takes `deterministic` and `rngs` too.

    `train()`, `eval()` and `nnx.view` set it as they set Flax's, whose subclass it is.

    >>> import jax
    >>> from flax import nnx
    >>> Dropout(0.5, rngs=nnx.Rngs(0))(jax.numpy.ones(4)).shape
    (4,)
    """

    def __init__(
        self,
        p: float,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        rngs: Any = None,
    ) -> None:
        super().__init__(
            p, broadcast_dims=broadcast_dims, deterministic=deterministic, rng_collection=rng_collection, rngs=rngs
        )

    def __call__(self, inputs: Array, *, deterministic: bool | None = None, rngs: Any = None) -> Array:
        still = self.deterministic if deterministic is None else deterministic
        if still is None or still:  # Flax's own: nothing to do, or its error
            return super().__call__(inputs, deterministic=still, rngs=rngs)
        source = self.rngs if rngs is None else rngs
        if source is None:
            raise ValueError("`Dropout`: `rngs` must be given here or to the constructor. Pass rngs=nnx.Rngs(seed).")
        if isinstance(source, nnx.Rngs):
            source = source[self.rng_collection]
        key = source() if isinstance(source, nnx.RngStream) else source
        return dropout(inputs, self.rate, key, broadcast_dims=self.broadcast_dims)
