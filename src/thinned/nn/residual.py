"""Dropout of whole residual branches: stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Proxy

from ..noise import PROBABILITY, SCALING, Choice, Integer, check
from ..ops import Rate, as_rate, is_zero
from ..ops.input import check_tensor
from .site import Checked, Site, own_key, rate, thin
from .symbolic import function_node, module_node

MODE = Choice(("row", "batch"))
DEPTH = Integer(1, 2**31 - 1, "[1, 2**31)")


def stochastic_depth(
    input: Tensor,
    p: Rate,
    mode: str = "row",
    training: bool = True,
    *,
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Drop a whole residual branch f: `x + stochastic_depth(f(x), p)`.

    The result for the branch's output f is `y[b] = f[b] * m[b] / q`, m ~ Bernoulli(q), in training, and `y = f` at
    inference. The scaling in the paper is `scaling="classic"`: `f * m` in training, `q * f` at inference.

    Arguments:
        input: the branch's output, `(B, ...)`.
        p: the probability that the branch is dropped, in [0, 1].
        mode: "row" draws once for each sample, "batch" once for the whole batch.
        training, scaling, key, generator: as in `dropout`.

    Raises:
        ValueError: `mode` is unknown.
        ValueError: the input has no axes, in mode "row".
        TypeError: as `dropout`.
        ValueError: as `dropout`.

    Cost: one draw for each sample, whatever its size. Source: Huang, Sun, Liu, Sedra and Weinberger 2016.

    >>> stochastic_depth(torch.ones(4, 2), 0.5, key=7)[:, 0]
    tensor([0., 2., 2., 2.])
    """
    if isinstance(input, Proxy):
        return function_node(stochastic_depth, locals())
    check(MODE, "stochastic_depth", "mode", mode)
    if isinstance(p, Tensor):
        p = as_rate(PROBABILITY, "stochastic_depth", "p", p)
    check_tensor("stochastic_depth", input)
    rows = 1 if mode == "row" else 0
    still = is_zero(p) or (scaling == "inverted" and not training)
    if input.ndim < rows and not still:
        raise ValueError(
            "`stochastic_depth`: `input` must have a batch axis in row mode. Got a 0-dim tensor. Pass mode='batch'."
        )
    return thin(
        "stochastic_depth",
        input,
        p,
        training,
        False,
        broadcast_dims=() if still else range(rows, input.ndim),
        scaling=scaling,
        key=key,
        generator=generator,
    )


drop_path = stochastic_depth


def linear_decay(p: float, depth: int) -> list[float]:
    """Drop probabilities that rise linearly with depth: block l of L has `p * l / L`, l = 1 .. L.

    Early blocks make the features that all later blocks use, so they are dropped least. The expected number of kept
    blocks is `L - p (L + 1) / 2`. (timm starts at 0 instead: `p * (l - 1) / (L - 1)`.)

    Arguments:
        p: the drop probability of the last block, in [0, 1].
        depth: the number of blocks L, at least 1.

    Returns:
        The drop probabilities, from the first block to the last.

    Raises:
        TypeError: `p` is no number, or `depth` no integer.
        ValueError: `p` is outside [0, 1], or `depth` below 1.

    Source: Huang et al. 2016, equation 4.

    >>> linear_decay(0.5, 4)
    [0.125, 0.25, 0.375, 0.5]
    """
    check(PROBABILITY, "linear_decay", "p", p)
    check(DEPTH, "linear_decay", "depth", depth)
    return [p * block / depth for block in range(1, depth + 1)]


class StochasticDepth(Site):
    """Drop a whole residual branch in training: `x + StochasticDepth(p)(f(x))`. See `stochastic_depth` for the formula.

    Arguments: `p`; `mode` "row" or "batch"; `scaling` as in `dropout`. All may be assigned later.

    Shape: `(B, ...)`; the output has the input's shape. `forward` takes `key=` and `generator=`.

    >>> StochasticDepth(0.5)(torch.ones(4, 2), key=7)[:, 0]
    tensor([0., 2., 2., 2.])
    """

    mode = Checked(MODE)
    scaling = Checked(SCALING)

    def __init__(self, p: float = 0.5, mode: str = "row", *, scaling: str = "inverted") -> None:
        super().__init__()
        self.p, self.mode, self.scaling = p, mode, scaling

    def forward(
        self, input: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        key = own_key(self, input, key, generator)
        return stochastic_depth(
            input, rate(self), self.mode, self.training, scaling=self.scaling, key=key, generator=generator
        )


# The name in timm.
DropPath = StochasticDepth
