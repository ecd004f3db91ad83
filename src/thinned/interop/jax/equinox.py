"""Dropout as a layer of Equinox, with the noise of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..extra import needed
from .functions import dropout
from .words import Array

needed("equinox", "thinned.interop.jax.equinox", "Equinox", "equinox")

import equinox  # noqa: E402


class Dropout(equinox.nn.Dropout):  # type: ignore[misc]
    """`equinox.nn.Dropout` with our mask: zero each unit with probability p, and scale the units that are kept.

    `y = x * m / q`, m ~ Bernoulli(q); with `inference`, `y = x`. `equinox.nn.inference_mode` sets it as it sets
    Equinox's, whose subclass it is.

    Arguments: `p`, the probability that a unit is dropped, an array too; `inference`; `broadcast_dims`, axes along
    which one draw is shared. The call takes `key` and `inference`.

    >>> import jax
    >>> Dropout(0.5)(jax.numpy.ones(8), key=7).tolist()
    [0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 0.0]
    """

    broadcast_dims: tuple[int, ...] = equinox.field(static=True)

    def __init__(self, p: float = 0.5, inference: bool = False, *, broadcast_dims: Sequence[int] = ()) -> None:
        super().__init__(p, inference)
        self.broadcast_dims = tuple(broadcast_dims)

    def __call__(self, x: Array, *, key: Any = None, inference: bool | None = None) -> Array:
        still = self.inference if inference is None else inference
        if still or (isinstance(self.p, int | float) and self.p == 0):
            return x
        if key is None:
            raise RuntimeError(
                "`Dropout`: `key` must be given outside of inference mode. Pass key=jax.random.key(seed)."
            )
        return dropout(x, self.p, key, broadcast_dims=self.broadcast_dims)
