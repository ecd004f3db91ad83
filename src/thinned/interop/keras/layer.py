"""What all layers share: a rate, a seed whose state Keras saves, and a key for every call."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...noise import PROBABILITY, UINT64, Integer, check
from .backend import keras, noise

Tensor = Any
SEED = Integer(0, 2**32 - 1, "[0, 2**32)")
_STATE = "seed_and_calls"
PACKAGE = "thinned"  # of the names under which Keras saves our layers


def checked_rate(owner: str, rate: Any) -> float:
    """A rate, or the error that names it."""
    return float(check(PROBABILITY, owner, "rate", rate))


def check_floating(owner: str, argument: str, x: Tensor) -> None:
    """Refuse integers.

    Raises:
        TypeError: x is not floating-point.
    """
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        raise TypeError(
            f"`{owner}`: `{argument}` must be floating-point. Got {x.dtype}. Convert: "
            f"keras.ops.cast({argument}, 'float32')."
        )


def key_on_backend(owner: str, key: Any) -> Any:
    """A key that is an int, on the backend; what `fold_in` gives as it is.

    Raises:
        TypeError, ValueError: an int outside [0, 2**64), or neither of the two.
    """
    if isinstance(key, numbers.Integral):
        return noise.key(int(check(UINT64, owner, "key", key)))
    if not noise.is_key(key):
        raise TypeError(
            f"`{owner}`: `key` must be an integer in [0, 2**64), or what thinned.interop.keras.fold_in gives. Got "
            f"{key!r}. Pass an int."
        )
    return key


def seed_generator(owner: str, seed: int | None) -> Any:
    """Keras's own generator: a variable `[seed, calls so far]`, which Keras saves, loads and threads through JAX."""
    if seed is None:
        return keras.random.SeedGenerator()
    number = int(check(SEED, owner, "seed", seed))
    kind = keras.random.SeedGenerator(0).state.dtype
    return keras.random.SeedGenerator(number - 2**32 if kind == "int32" and number >= 2**31 else number)


class SavedSeed:
    """A layer with a rate and a seed. Seed and count of calls are saved with its weights: Keras itself saves neither.

    `live` makes it draw at inference too, as `MonteCarlo` does for a while.
    """

    def _draw_from(self, rate: float, seed: int | None) -> None:
        """What a constructor does after Keras's own."""
        self.rate = rate
        self.seed_generator = seed_generator(type(self).__name__, seed)
        self.seed = seed if seed is None else int(seed)
        self.live = False

    @property
    def rate(self) -> float:
        """The probability that a unit, or a weight, is dropped. It may be set between calls.

        A compiled function keeps its own.
        """
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate = checked_rate(type(self).__name__, value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}  # type: ignore[misc]

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)  # type: ignore[misc]
        state = np.asarray(keras.ops.convert_to_numpy(self.seed_generator.state)).astype(np.int64)
        store[_STATE] = state & 0xFFFFFFFF

    def load_own_variables(self, store: Any) -> None:
        kept = {name: store[name] for name in store.keys() if name != _STATE}  # noqa: SIM118 - no mapping
        super().load_own_variables(kept)  # type: ignore[misc]
        if _STATE in store.keys():  # noqa: SIM118 - weights of Keras's own layer have none
            state = np.asarray(store[_STATE]).astype(np.int64).astype(np.uint32)
            kind = self.seed_generator.state.dtype
            self.seed_generator.state.assign(state.view(np.int32) if kind == "int32" else state.astype(kind))


class NoiseLayer(SavedSeed, keras.Layer):  # type: ignore[misc]
    """A layer that draws noise in training.

    The key of its call number c, from 0 on, is `thinned.noise.fold_in(seed, c)`.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._draw_from(rate, seed)
        self.supports_masking = True
        self._build_at_init()  # there are no weights; a subclass with a `build` of its own is built by it

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(kwargs.get("key"), np.integer):  # of which Keras would make a tensor
            kwargs["key"] = int(kwargs["key"])
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Tensor, training: bool = False, key: Any = None) -> Tensor:
        if not (training or self.live) or self._rate == 0:
            return inputs
        owner = type(self).__name__
        check_floating(owner, "inputs", inputs)
        return self.thin(inputs, self.next_key() if key is None else key_on_backend(owner, key))

    def next_key(self) -> Any:
        """The key of the next call, on the backend."""
        return noise.key_of(self.seed_generator.next())

    def thin(self, inputs: Tensor, key: Any) -> Tensor:
        """What a call in training gives."""
        return noise.drop(inputs, key, self._rate, "inverted", self.draws(inputs))

    def draws(self, inputs: Tensor) -> Sequence[Any]:
        """The noise shape: the sizes of `inputs`, 1 on every axis along which one draw is shared."""
        shared = self.shared_axes(len(inputs.shape))
        return [1 if axis in shared else size for axis, size in enumerate(noise.shape_of(inputs))]

    def shared_axes(self, rank: int) -> Sequence[int]:
        """The axes along which one draw is shared."""
        return ()

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return input_shape
