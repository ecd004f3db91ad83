"""Dropout of single activations: after a nonlinearity, before the next layer.

A function that torch has too has torch's signature, with further keyword-only arguments. A class that torch has too is
a subclass of torch's class, so that tools that look for torch's classes find it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.fx import Proxy

from ..noise import PROBABILITY, SCALING
from ..ops import Rate, as_rate, cpu, deviation, drop, gaussian
from ..ops.input import check_tensor
from .site import Checked, CheckedAxes, Site, own_key, rate, thin
from .symbolic import function_node, module_node


def dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    broadcast_dims: Sequence[int] = (),
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero each unit with probability p and scale the units that are kept.

    `y = x * m / q`, m ~ Bernoulli(q), q = 1 - p, in training; `y = x` at inference (inverted scaling, the default).
    With `scaling="classic"`: `y = x * m` in training and `y = q * x` at inference. In both modes E[y] = x with inverted
    scaling, and E[y] = q x with classic scaling.

    Arguments:
        input: floating-point or complex, any shape; sparse COO or nested too, as in `thinned.ops.drop`. Where the
            result is the input itself (at inference, at p = 0), it may be of any type, such as integers or quantised.
        p: the probability that a unit is dropped, in [0, 1]. In training, 0 returns `input` itself and 1 exact zeros.
            It may be a tensor with one number: then one compiled graph serves every p (docs/guides/transforms.md).
        training: whether to draw noise.
        inplace: whether to overwrite `input`.
        broadcast_dims: the axes along which one draw is shared: `(1,)` on `(B, T, C)` is one mask for all time steps.
        scaling: "inverted" or "classic".
        key: a 64-bit key. With a key the result is a pure function of `(input, key)`.
        generator: the generator from which the key is drawn; None is torch's default CPU generator.

    Raises:
        TypeError: `input` has integers, and noise acts on it.
        TypeError: `p` is no number.
        ValueError: `p` is outside [0, 1].
        ValueError: `scaling` is unknown.
        ValueError: `input` does not have an axis of `broadcast_dims`.
        RuntimeError: torch.jit.trace records noise.

    Cost: at most 40 bytes are saved for the backward pass: the key and the law.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014.

    >>> dropout(torch.ones(2, 4), 0.5, key=7)
    tensor([[0., 2., 2., 2.],
            [2., 0., 2., 0.]])
    >>> dropout(torch.ones(2, 4), 0.5, key=7, broadcast_dims=(0,))
    tensor([[0., 2., 2., 2.],
            [0., 2., 2., 2.]])
    """
    if isinstance(input, Proxy):
        return function_node(dropout, locals())
    return thin(
        "dropout",
        input,
        p,
        training,
        inplace,
        broadcast_dims=broadcast_dims,
        scaling=scaling,
        key=key,
        generator=generator,
    )


def gaussian_dropout(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    broadcast_dims: Sequence[int] = (),
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Multiply by Gaussian noise with the first two moments of inverted dropout.

    `y = x * n`, n ~ Normal(1, p / q) in training; `y = x` at inference.

    Arguments:
        input: floating-point or complex, any shape.
        p: the drop probability of the Bernoulli dropout with the same moments, in [0, 1]. The standard deviation of the
            noise is sqrt(p / (1 - p)). At p = 1 it would be infinite, and the result is 0, as in every other variant.
        training, inplace, broadcast_dims, key, generator: as in `dropout`.

    Raises: as `dropout`. Cost: 16 bytes are saved for the backward pass. Source: Srivastava et al. 2014, section 10.

    >>> round(gaussian_dropout(torch.ones(100_000), 0.2, key=7).std().item(), 2)
    0.5
    """
    if isinstance(input, Proxy):
        return function_node(gaussian_dropout, locals())
    p = as_rate(PROBABILITY, "gaussian_dropout", "p", p)
    check_tensor("gaussian_dropout", input)
    if not training:
        return input
    if not isinstance(p, Tensor) and p == 1:
        output = drop(input, p, key=key, generator=generator, owner="gaussian_dropout")
    else:
        sigma = deviation(p, "gaussian_dropout")
        output = gaussian(
            input, sigma, broadcast_dims=broadcast_dims, key=key, generator=generator, owner="gaussian_dropout"
        )
    return input.copy_(output) if inplace and output is not input else output


class Dropout(Site, torch.nn.Dropout):
    """Zero each unit with probability p in training; a drop-in for `torch.nn.Dropout`. See `dropout` for the formula.

    Arguments: `p`, `inplace` as in torch; `broadcast_dims`, `scaling` as in `dropout`. All may be assigned later.

    Shape: any; the output has the input's shape. `forward` takes `key=` and `generator=`, as in `dropout`.

    >>> layer = Dropout(0.5)
    >>> layer(torch.ones(4), key=7)
    tensor([0., 2., 2., 2.])
    >>> layer.eval()(torch.ones(4))
    tensor([1., 1., 1., 1.])
    """

    broadcast_dims = CheckedAxes()
    scaling = Checked(SCALING)

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, broadcast_dims: Sequence[int] = (), scaling: str = "inverted"
    ) -> None:
        super().__init__()
        self.p, self.inplace, self.broadcast_dims, self.scaling = p, inplace, broadcast_dims, scaling

    def forward(
        self, input: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if key is None and generator is None and not is_compiling():
            usual: Tensor | None = cpu.kernel.usual_of_layer(input, self.__dict__)  # ops/usual.py says which calls
            if usual is not None:
                return usual
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        return thin(
            type(self).__name__,
            input,
            rate(self),
            self.training,
            self.inplace,
            broadcast_dims=self.broadcast_dims,
            scaling=self.scaling,
            key=own_key(self, input, key, generator),
            generator=generator,
        )


class GaussianDropout(Site):
    """Multiply by Normal(1, p / q) noise in training. See `gaussian_dropout` for the formula.

    Arguments: `p`, the drop probability of the Bernoulli dropout with the same moments; `inplace`; `broadcast_dims` as
    in `dropout`. All may be assigned later.

    Shape: any; the output has the input's shape. `forward` takes `key=` and `generator=`.

    >>> GaussianDropout(0.2).eval()(torch.ones(2))
    tensor([1., 1.])
    """

    rounds_p = False  # the standard deviation is computed from p itself, not from p rounded to 16 bits
    broadcast_dims = CheckedAxes()

    def __init__(self, p: float = 0.5, inplace: bool = False, *, broadcast_dims: Sequence[int] = ()) -> None:
        super().__init__()
        self.p, self.inplace, self.broadcast_dims = p, inplace, broadcast_dims

    def forward(
        self, input: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        return gaussian_dropout(
            input,
            rate(self),
            self.training,
            self.inplace,
            broadcast_dims=self.broadcast_dims,
            key=own_key(self, input, key, generator),
            generator=generator,
        )
