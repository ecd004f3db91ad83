"""DropConnect: dropout of the weights of a Keras layer."""

from __future__ import annotations

from typing import Any

from .backend import keras, noise
from .layer import PACKAGE, SavedSeed, Tensor


@keras.saving.register_keras_serializable(package=PACKAGE)
class DropConnect(SavedSeed, keras.layers.Wrapper):  # type: ignore[misc]
    """Drop each weight of a layer with probability `rate` in training: `W' = W * m / q`; at inference `W' = W`.

    One mask serves the whole batch. The weight itself stays as it is, and its gradient has the same mask.

    Arguments:
        layer: a layer with a `kernel`: Dense, EinsumDense, the convolutions.
        rate, seed: as in `Dropout`. The key of call number c is `fold_in(seed, c)`.

    Raises:
        TypeError, ValueError: a bad rate or seed, or a layer that has no kernel once it is built.

    Source: Wan et al. 2013, with one mask for each sample.

    >>> import keras
    >>> tuple(DropConnect(keras.layers.Dense(4), 0.5, seed=0)(keras.ops.ones((2, 3)), training=True).shape)
    (2, 4)
    """

    def __init__(self, layer: Any, rate: float = 0.5, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self._draw_from(rate, seed)
        self.supports_masking = bool(getattr(layer, "supports_masking", False))

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self._weight()
        self.built = True

    def _weight(self) -> Any:
        kernel = getattr(self.layer, "_kernel", None)  # of a layer whose `kernel` is computed, as with LoRA
        if kernel is None:
            kernel = getattr(self.layer, "kernel", None)
        if not isinstance(kernel, keras.Variable) or not keras.backend.is_float_dtype(kernel.dtype):
            raise TypeError(
                f"`DropConnect`: `layer` must have a floating-point kernel, as Dense and Conv2D have. Got "
                f"{type(self.layer).__name__} {self.layer.name!r}. Wrap a Dense, an EinsumDense or a convolution, or "
                "drop units: thinned.interop.keras.Dropout."
            )
        return kernel

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not (training or self.live) or self.rate == 0:
            return self.layer(inputs)
        kernel = self._weight()
        held = {id(variable): (variable, variable.value) for variable in self.layer.variables}
        weight = keras.ops.convert_to_tensor(kernel.value)
        key = noise.key_of(self.seed_generator.next())
        held[id(kernel)] = kernel, noise.drop(weight, key, self.rate, "inverted", noise.shape_of(weight))
        with keras.StatelessScope(state_mapping=list(held.values())):
            return self.layer(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)
