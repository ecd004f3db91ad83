"""Dropout of whole channels (SpatialDropout): one draw for each channel, shared over the map."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Proxy

from ..noise import PROBABILITY, SCALING
from ..ops import Rate, as_rate, is_zero
from ..ops.input import check_tensor
from .site import Checked, Site, own_key, rate, thin
from .symbolic import function_node, module_node


def dropout1d(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole channels of a sequence: one draw a channel, shared along the sequence.

    `y[b, c, :] = x[b, c, :] * m[b, c] / q`. Neighbouring values of a map carry the same information, so dropping single
    values removes little information.

    Source: Tompson et al. 2015, who call it SpatialDropout.

    Arguments:
        input: `(B, C, L)`, or `(C, L)` without a batch.
        p, training, inplace, scaling, key, generator: as in `dropout`.

    Raises:
        RuntimeError: the input is neither 2-D nor 3-D, as in torch.
        TypeError: as `dropout`.
        ValueError: as `dropout`.

    >>> dropout1d(torch.ones(1, 4, 2), 0.5, key=7)[0]
    tensor([[0., 0.],
            [2., 2.],
            [2., 2.],
            [2., 2.]])
    """
    if isinstance(input, Proxy):
        return function_node(dropout1d, locals())
    return _spatial("dropout1d", 1, input, p, training, inplace, scaling, key, generator)


def dropout2d(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole channels of an image: one draw a channel, shared over the map. Formula, source: as in `dropout1d`.

    Arguments:
        input: `(B, C, H, W)`. As in torch, an input with another number of axes gives a warning. A 3-D input is read as
            `(B, C, L)`, never as an image without a batch.
        p, training, inplace, scaling, key, generator: as in `dropout`.

    Raises:
        RuntimeError: the input has no channel axis.
        TypeError: as `dropout`.
        ValueError: as `dropout`.

    >>> dropout2d(torch.ones(1, 3, 2, 2), 0.5, key=7).amax((2, 3))
    tensor([[0., 2., 2.]])
    """
    if isinstance(input, Proxy):
        return function_node(dropout2d, locals())
    return _spatial("dropout2d", 2, input, p, training, inplace, scaling, key, generator)


def dropout3d(
    input: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Zero whole channels of a volume: one draw a channel, shared over the volume. Formula, source: as in `dropout1d`.

    Arguments:
        input: `(B, C, D, H, W)`, or `(C, D, H, W)` without a batch. As in torch, an input with another number of axes
            gives a warning.
        p, training, inplace, scaling, key, generator: as in `dropout`.

    Raises:
        RuntimeError: the input has no channel axis.
        TypeError: as `dropout`.
        ValueError: as `dropout`.

    >>> dropout3d(torch.ones(1, 3, 2, 2, 2), 0.5, key=7).amax((2, 3, 4))
    tensor([[0., 2., 2.]])
    """
    if isinstance(input, Proxy):
        return function_node(dropout3d, locals())
    return _spatial("dropout3d", 3, input, p, training, inplace, scaling, key, generator)


def _spatial(
    owner: str,
    axes: int,
    input: Tensor,
    p: Rate,
    training: bool,
    inplace: bool,
    scaling: str,
    key: int | Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    if isinstance(p, Tensor):
        p = as_rate(PROBABILITY, owner, "p", p)
    check_tensor(owner, input)
    still = is_zero(p) or (scaling == "inverted" and not training)
    dims = () if still else range(_channel_axis(owner, axes, input.ndim) + 1, input.ndim)
    return thin(owner, input, p, training, inplace, broadcast_dims=dims, scaling=scaling, key=key, generator=generator)


def _channel_axis(owner: str, axes: int, rank: int) -> int:
    """The index of the channel axis, with torch's errors and warnings for unusual numbers of axes.

    torch's dropout2d reads a 3-D input as a batch `(B, C, L)`; dropout1d and dropout3d read an input with one axis less
    as one without a batch. It must be the same here, so that the same units share a draw as in torch.
    """
    if axes == 1:
        if rank not in (2, 3):
            raise RuntimeError(
                f"dropout1d: Expected 2D or 3D input, but received a {rank}D input. It drops channels of (C, L) or "
                "(B, C, L); for single units use dropout."
            )
        return rank - 2
    if rank not in (axes + 1, axes + 2):
        warnings.warn(
            f"{owner}: Received a {rank}-D input to {owner}, which torch has deprecated. It drops channels of an input "
            f"with {axes} spatial axes; for single units use dropout.",
            UserWarning,
            stacklevel=4,
        )
    if rank < 2:
        raise RuntimeError(f"{owner}: Feature dropout needs a channel axis. Got a {rank}-D input. Use dropout.")
    if axes == 2 and rank == 3:
        warnings.warn(
            "dropout2d: Received a 3-D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
            "desired: (B, C, L). For an image without a batch pass input[None]; for a sequence use dropout1d.",
            UserWarning,
            stacklevel=4,
        )
    return 0 if axes == 3 and rank == 4 else 1


class _ChannelDropout(Site):
    """The common code of `Dropout1d`, `Dropout2d` and `Dropout3d`."""

    scaling = Checked(SCALING)
    inplace: bool
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False, *, scaling: str = "inverted") -> None:
        super().__init__()
        self.p, self.inplace, self.scaling = p, inplace, scaling

    def forward(
        self, input: Tensor, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        key = own_key(self, input, key, generator)
        return self.function(
            input, rate(self), self.training, self.inplace, scaling=self.scaling, key=key, generator=generator
        )


class Dropout1d(_ChannelDropout, torch.nn.Dropout1d):
    """Zero whole channels of a sequence in training; a drop-in for `torch.nn.Dropout1d`. See `dropout1d`.

    The channels are axis 1, as in torch: `(B, C, L)`. Keras has them last. What Keras calls SpatialDropout1D, on
    `(B, T, C)`, is `LockedDropout(p, batch_first=True)` here; this layer would drop whole time steps. What Keras calls
    SpatialDropout2D, on `(B, H, W, C)`, is `Dropout(p, broadcast_dims=(1, 2))`, and 3D has `(1, 2, 3)`.

    Arguments: `p`, `inplace` as in torch; `scaling` as in `dropout`. All may be assigned later.

    >>> Dropout1d(0.5)(torch.ones(1, 3, 2), key=7).amax((2,))
    tensor([[0., 2., 2.]])
    >>> from thinned.nn import LockedDropout
    >>> LockedDropout(0.5, batch_first=True)(torch.ones(1, 2, 3), key=7)  # Keras's SpatialDropout1D: T = 2, C = 3
    tensor([[[0., 2., 2.],
             [0., 2., 2.]]])
    """

    function = staticmethod(dropout1d)


class Dropout2d(_ChannelDropout, torch.nn.Dropout2d):
    """Zero whole channels of an image in training; a drop-in for `torch.nn.Dropout2d`. See `dropout2d`.

    Arguments: `p`, `inplace` as in torch; `scaling` as in `dropout`. All may be assigned later.

    >>> Dropout2d(0.5)(torch.ones(1, 3, 2, 2), key=7).amax((2, 3))
    tensor([[0., 2., 2.]])
    """

    function = staticmethod(dropout2d)


class Dropout3d(_ChannelDropout, torch.nn.Dropout3d):
    """Zero whole channels of a volume in training; a drop-in for `torch.nn.Dropout3d`. See `dropout3d`.

    Arguments: `p`, `inplace` as in torch; `scaling` as in `dropout`. All may be assigned later.

    >>> Dropout3d(0.5)(torch.ones(1, 3, 2, 2, 2), key=7).amax((2, 3, 4))
    tensor([[0., 2., 2.]])
    """

    function = staticmethod(dropout3d)


# Tompson et al. (2015) and Keras call it SpatialDropout.
SpatialDropout1d = Dropout1d
SpatialDropout2d = Dropout2d
SpatialDropout3d = Dropout3d
