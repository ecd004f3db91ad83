"""Keras's dropout layers, by Keras's names, arguments and axes, with the noise of the contract."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from ...noise.formulas import deviation
from .backend import keras, noise
from .layer import PACKAGE, NoiseLayer, Tensor

_registered = keras.saving.register_keras_serializable(package=PACKAGE)


class _ShapedLayer(NoiseLayer):
    """A layer with Keras's `noise_shape`."""

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = _checked_shape(type(self).__name__, noise_shape)

    def draws(self, inputs: Tensor) -> Sequence[Any]:
        sizes, wanted = noise.shape_of(inputs), self.noise_shape
        if wanted is None:
            return list(sizes)
        owner = type(self).__name__
        fits = len(wanted) == len(sizes) and all(
            draws in (None, 1) or not isinstance(size, int) or draws == size
            for size, draws in zip(sizes, wanted, strict=True)
        )
        if not fits:
            raise ValueError(
                f"`{owner}`: `noise_shape` must have 1, None or the input's size on each axis of the input. Got "
                f"{wanted} and an input of shape {tuple(inputs.shape)}. Name every axis; None is its size."
            )
        return [size if draws is None else draws for size, draws in zip(sizes, wanted, strict=True)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise_shape": self.noise_shape}


def _checked_shape(owner: str, shape: Any) -> tuple[int | None, ...] | None:
    if shape is None:
        return None
    sizes = [] if isinstance(shape, str) or not hasattr(shape, "__iter__") else list(shape)
    whole = (isinstance(size, numbers.Integral) and not isinstance(size, bool) and int(size) > 0 for size in sizes)
    if not sizes or not all(size is None or fits for size, fits in zip(sizes, whole, strict=True)):
        raise ValueError(
            f"`{owner}`: `noise_shape` must be a sequence of positive integers and None. Got {shape!r}. Pass "
            "(None, 1, 64)."
        )
    return tuple(size if size is None else int(size) for size in sizes)


@_registered
class Dropout(_ShapedLayer):
    """Zero each unit with probability `rate` in training, and scale the units that are kept.

    `y = x * m / q`, m ~ Bernoulli(q), q = 1 - rate, in training; `y = x` at inference.

    Arguments:
        rate: the probability that a unit is dropped, in [0, 1]; p everywhere else in this package.
        noise_shape: the shape of the mask: 1 where one draw is shared along an axis, None for the input's size.
        seed: in [0, 2**32); the same seed gives the same masks on TensorFlow, JAX and torch. By default one that
            `keras.utils.set_random_seed` fixes.

    The call takes `training`, and `key`, an int in [0, 2**64), which makes it a pure function.

    Raises:
        TypeError, ValueError: a bad rate, seed or noise shape, or an input of integers.

    Cost: nothing is kept for the gradient, which takes the mask from the key.

    Source: Srivastava et al. 2014.

    >>> import keras
    >>> keras.ops.convert_to_numpy(Dropout(0.5)(keras.ops.ones(8), training=True, key=7)).tolist()
    [0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 0.0]
    """


@_registered
class AlphaDropout(_ShapedLayer):
    """Dropout for SELU networks: dropped units get SELU's saturation value, and mean and variance stay.

    `y = a * (x * m + s * (1 - m)) + b`, s = -1.7581, with a and b of `thinned.nn.AlphaDropout`.

    Arguments: as in `Dropout`.

    Source: Klambauer et al. 2017.
    """

    def thin(self, inputs: Tensor, key: Any) -> Tensor:
        return noise.drop(inputs, key, self.rate, "alpha", self.draws(inputs))


@_registered
class GaussianDropout(NoiseLayer):
    """Multiply by Gaussian noise with the first two moments of dropout: `y = x * n`, n ~ Normal(1, rate / (1 - rate)).

    At rate 1 the output is 0. The noise is within 1e-6 the same on all backends, as `log` and `cos` differ.

    Arguments: `rate` and `seed` as in `Dropout`.

    Source: Srivastava et al. 2014, section 10.
    """

    def thin(self, inputs: Tensor, key: Any) -> Tensor:
        return noise.gaussian(inputs, key, deviation(self.rate), self.draws(inputs))


class _SpatialLayer(NoiseLayer):
    """Dropout of whole channels."""

    axes = 1  # of space

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed, **kwargs)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_first", "channels_last"):
            raise ValueError(
                f"`{type(self).__name__}`: `data_format` must be 'channels_first' or 'channels_last'. Got "
                f"{data_format!r}. Leave it out for Keras's own setting."
            )
        self.input_spec = keras.layers.InputSpec(ndim=self.axes + 2)

    def shared_axes(self, rank: int) -> Sequence[int]:
        return range(2, rank) if self.data_format == "channels_first" else range(1, rank - 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


@_registered
class SpatialDropout1D(NoiseLayer):
    """Dropout of whole channels of `(B, T, C)`: one draw for all time steps of a channel.

    Arguments: `rate` and `seed` as in `Dropout`. Channels are last, as in Keras. In `thinned.nn` it is `LockedDropout`
    for this layout, and `Dropout1d` for `(B, C, T)`.

    Source: Tompson et al. 2015.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed, **kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def shared_axes(self, rank: int) -> Sequence[int]:
        return (1,)


@_registered
class SpatialDropout2D(_SpatialLayer):
    """Dropout of whole channels of images: one draw for each channel of each image.

    Arguments: `rate` and `seed` as in `Dropout`; `data_format`, "channels_last" for `(B, H, W, C)` or "channels_first"
    for `(B, C, H, W)`, by default what Keras is configured for.

    Source: Tompson et al. 2015.
    """

    axes = 2


@_registered
class SpatialDropout3D(_SpatialLayer):
    """Dropout of whole channels of volumes: one draw for each channel of each volume.

    Arguments: as in `SpatialDropout2D`, for `(B, D, H, W, C)` or `(B, C, D, H, W)`.

    Source: Tompson et al. 2015.
    """

    axes = 3


@_registered
class LockedDropout(NoiseLayer):
    """One mask for all time steps of a sequence `(B, T, ...)`: "variational" dropout of recurrent networks.

    Arguments: `rate` and `seed` as in `Dropout`.

    Source: Gal and Ghahramani 2016.
    """

    def shared_axes(self, rank: int) -> Sequence[int]:
        if rank < 3:
            raise ValueError(
                f"`LockedDropout`: `inputs` must be (B, T, ...). Got {rank} axes. Keep time an axis of its own."
            )
        return (1,)


@_registered
class StochasticDepth(NoiseLayer):
    """Drop the whole branch of a residual block, for each sample apart: `x + StochasticDepth(rate)(branch(x))`.

    `y = x * m / q` with one m ~ Bernoulli(q) for each row of axis 0.

    Arguments: `rate` and `seed` as in `Dropout`.

    Source: Huang et al. 2016.
    """

    def shared_axes(self, rank: int) -> Sequence[int]:
        return range(1, rank)
