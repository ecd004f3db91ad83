"""Alpha dropout, for SELU networks: dropped units get SELU's saturation value, so that mean and variance stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Proxy

from ..noise import PROBABILITY
from ..noise.formulas import SELU_SATURATION, alpha_affine
from ..ops import Rate, as_rate, drop, is_zero
from ..ops.input import check_tensor
from .site import Site, own_key, rate
from .symbolic import function_node, module_node

__all__ = [
    "SELU_SATURATION",
    "AlphaDropout",
    "FeatureAlphaDropout",
    "alpha_affine",
    "alpha_dropout",
    "feature_alpha_dropout",
]


def alpha_dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Dropout for SELU networks: dropped units get SELU's saturation value, and mean and variance stay.

    `y = a * (x * m + s * (1 - m)) + b` with s = -1.7581, `a = (q + s^2 q p)^(-1/2)`, `b = -a p s`: if the input has
    mean 0 and variance 1, so has the output.

    Arguments:
        input: floating-point, any shape, usually of mean 0 and variance 1.
        p, inplace, key, generator: as in `dropout`. At p = 1 the result is 0, as in torch.
        training: whether to draw noise; False by default, as in torch's function.

    Raises: as `dropout`. Cost: as `dropout`. Source: Klambauer, Unterthiner, Mayr and Hochreiter 2017.

    >>> x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    >>> round(alpha_dropout(x, 0.2, training=True, key=7).std().item(), 2)
    1.0
    """
    if isinstance(input, Proxy):
        return function_node(alpha_dropout, locals())
    return _alpha("alpha_dropout", input, p, training, inplace, False, key, generator)


def feature_alpha_dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Alpha dropout of whole channels: one draw for each sample and channel, shared over all further axes.

    Arguments:
        input: `(B, C, ...)`, with at least 2 axes.
        p, training, inplace, key, generator: as in `alpha_dropout`.

    Raises:
        RuntimeError: the input has fewer than 2 axes.
        TypeError: as `dropout`.
        ValueError: as `dropout`.

    >>> feature_alpha_dropout(torch.zeros(1, 4, 2), 0.5, training=True, key=7)[0, :, 0]
    tensor([-0.7792,  0.7792,  0.7792,  0.7792])
    """
    if isinstance(input, Proxy):
        return function_node(feature_alpha_dropout, locals())
    return _alpha("feature_alpha_dropout", input, p, training, inplace, True, key, generator)


def _alpha(
    owner: str,
    input: Tensor,
    p: Rate,
    training: bool,
    inplace: bool,
    by_channel: bool,
    key: int | Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    p = as_rate(PROBABILITY, owner, "p", p)
    check_tensor(owner, input)
    if not training:
        return input
    still = is_zero(p)  # then the call is counted by a stream, and draws nothing
    if by_channel and input.ndim < 2 and not still:
        raise RuntimeError(
            f"{owner}: Feature dropout requires at least 2 dimensions in the input. Got {input.ndim}. "
            "Use alpha_dropout."
        )
    dims = range(2, input.ndim) if by_channel and not still else ()
    output = drop(input, p, broadcast_dims=dims, law="alpha", key=key, generator=generator, owner=owner)
    return input.copy_(output) if inplace and output is not input else output


class _SeluDropout(Site):
    """The common code of `AlphaDropout` and `FeatureAlphaDropout`."""

    inplace: bool
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = p, inplace

    def forward(
        self, input: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        key = own_key(self, input, key, generator)
        return self.function(input, rate(self), self.training, self.inplace, key=key, generator=generator)


class AlphaDropout(_SeluDropout, torch.nn.AlphaDropout):
    """Dropout after SELU; a drop-in for `torch.nn.AlphaDropout`. See `alpha_dropout` for the formula.

    Arguments: `p`, `inplace` as in torch; they may be assigned later. `forward` takes `key=` and `generator=`.

    >>> AlphaDropout(0.5)(torch.zeros(3), key=7)
    tensor([-0.7792,  0.7792,  0.7792])
    """

    function = staticmethod(alpha_dropout)


class FeatureAlphaDropout(_SeluDropout, torch.nn.FeatureAlphaDropout):
    """Alpha dropout of whole channels; a drop-in for `torch.nn.FeatureAlphaDropout`. See `feature_alpha_dropout`.

    Arguments: `p`, `inplace` as in torch; they may be assigned later. `forward` takes `key=` and `generator=`.

    >>> FeatureAlphaDropout(0.5)(torch.zeros(1, 3, 2), key=7)[..., 0]
    tensor([[-0.7792,  0.7792,  0.7792]])
    """

    function = staticmethod(feature_alpha_dropout)
