"""What Keras's own tests of its regularisation layers ask holds for ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import thinned.interop.keras as tk
from thinned import noise

numbers = keras.ops.convert_to_numpy
ALL: list[tuple[type, tuple[int, ...]]] = [
    (tk.Dropout, (2, 3)),
    (tk.AlphaDropout, (2, 3, 4)),
    (tk.GaussianDropout, (2, 3, 4)),
    (tk.SpatialDropout1D, (2, 3, 4)),
    (tk.SpatialDropout2D, (2, 3, 4, 5)),
    (tk.SpatialDropout3D, (2, 3, 4, 4, 5)),
    (tk.LockedDropout, (2, 3, 4)),
    (tk.StochasticDepth, (2, 3)),
]


@pytest.mark.parametrize(("kind", "shape"), ALL)
def test_a_layer(kind: Any, shape: tuple[int, ...]) -> None:
    """Shapes, no weights, masking, a state of its own, a configuration that builds it again, and symbols."""
    layer = kind(0.5, seed=1337)
    x = np.ones(shape, np.float32)
    assert layer(x, training=True).shape == layer(x).shape == layer.compute_output_shape(shape) == shape
    assert not layer.weights
    assert layer.supports_masking
    assert len(layer.variables) == 1  # the seed's state
    again = kind.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (numbers(again(x, training=True, key=3)) == numbers(layer(x, training=True, key=3))).all()
    inputs = keras.Input(shape[1:])
    assert layer(inputs, training=True).shape == (None, *shape[1:])


@pytest.mark.parametrize(("kind", "shape"), ALL)
def test_rates_at_the_ends(kind: Any, shape: tuple[int, ...]) -> None:
    x = np.full(shape, 3.0, np.float32)
    assert (numbers(kind(0.0)(x, training=True)) == x).all()
    all_dropped = numbers(kind(1.0)(x, training=True))
    assert (all_dropped == 0).all()
    for rate, error in ((-0.1, ValueError), (1.5, ValueError), (50, ValueError), (None, TypeError), ("0.5", TypeError)):
        with pytest.raises(error, match=f"`{kind.__name__}`: `rate` must be a number in"):
            kind(rate)
    layer = kind(0.0)
    layer.rate = 0.5  # from 0 on, later
    assert (numbers(layer(x, training=True)) != x).any()
    with pytest.raises(ValueError, match="If 20 % was meant"):
        layer.rate = 20


def test_the_realised_rate_and_the_mean() -> None:
    """Within six deviations of the binomial law, at a fixed seed."""
    y = numbers(tk.Dropout(0.3, seed=0)(np.ones((256, 256), np.float32), training=True))
    q, n = 1 - 19661 / 65536, 256 * 256
    kept = (y != 0).sum()
    assert abs(kept - n * q) < 6 * (n * q * (1 - q)) ** 0.5
    assert np.unique(y).tolist() == [0.0, np.float32(1 / q)]


@pytest.mark.parametrize("shape", ["abc", (), (0, 1), (1.5, 2), 3])
def test_a_noise_shape_that_is_none(shape: Any) -> None:
    with pytest.raises(ValueError, match="`noise_shape` must be a sequence of positive integers and None"):
        tk.Dropout(0.5, noise_shape=shape)


def test_a_noise_shape_that_does_not_fit() -> None:
    for shape in ((2, 1), (None, 1, 3, 1), (None, 2, 3)):
        with pytest.raises(ValueError, match="`noise_shape` must have 1, None or the input's size"):
            tk.Dropout(0.5, noise_shape=shape)(np.ones((2, 4, 3), np.float32), training=True)


def test_arguments() -> None:
    with pytest.raises(TypeError, match="`seed` must be an integer"):
        tk.Dropout(0.5, seed="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`seed` must be an integer in \[0, 2\*\*32\)"):
        tk.Dropout(0.5, seed=-1)
    with pytest.raises(ValueError, match="`data_format` must be"):
        tk.SpatialDropout2D(0.5, data_format="last")
    with pytest.raises(ValueError, match="ndim"):
        tk.SpatialDropout1D(0.5)(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match="floating-point"):
        tk.Dropout(0.5)(np.ones((2, 3), np.int32), training=True)
    with pytest.raises(ValueError, match=r"must be \(B, T, ...\)"):
        tk.LockedDropout(0.5)(np.ones((2, 3), np.float32), training=True)


@pytest.mark.parametrize(("key", "error"), [(-1, ValueError), (2**64, ValueError), (True, TypeError)])
def test_keys_that_are_none(key: Any, error: type[Exception]) -> None:
    """Everywhere where a key is given: an int outside of the contract is never another key."""
    x = np.ones((2, 3), np.float32)
    calls: dict[str, Callable[[], Any]] = {
        "Dropout": lambda: tk.Dropout(0.5)(x, training=True, key=key),
        "dropout": lambda: tk.dropout(x, 0.5, key),
        "bernoulli": lambda: tk.bernoulli(key, 0.5, (2, 3)),
        "fold_in": lambda: tk.fold_in(key, 1),
    }
    for owner, call in calls.items():
        with pytest.raises(error, match=rf"`{owner}`: `key` must be an integer in \[0, 2\*\*64\)"):
            call()
    with pytest.raises(ValueError, match="`fold_in`: `key` must be"):
        tk.fold_in(np.int64(-1), 1)
    for none in (7.0, "7", [0, 7], np.ones(2, np.float32), keras.ops.convert_to_tensor([7, 7, 7])):
        with pytest.raises(TypeError, match="`dropout`: `key` must be an integer in"):
            tk.dropout(x, 0.5, none)
        with pytest.raises(TypeError, match=r"`Dropout`: `key` must be an integer in|not a valid JAX type"):
            tk.Dropout(0.5)(x, training=True, key=none)
    for whole in (np.int64(7), np.uint64(7), np.uint8(7), tk.as_number(tk.fold_in(7, 1)), tk.fold_in(7, 1)):
        number = (
            whole if isinstance(whole, int) else int(whole) if isinstance(whole, np.integer) else tk.as_number(whole)
        )
        expected = noise.drop(x, 0.5, key=number)
        assert (numbers(tk.dropout(x, 0.5, whole)) == expected).all()
        assert (numbers(tk.Dropout(0.5)(x, training=True, key=whole)) == expected).all()
    assert tk.as_number(tk.fold_in(np.int64(7), 1)) == tk.as_number(tk.fold_in(7, 1))


def test_arguments_of_the_function() -> None:
    x = np.ones((2, 3), np.float32)
    for rate in (0.0, 0.5):
        with pytest.raises(TypeError, match="`dropout`: `x` must be floating-point"):
            tk.dropout(x.astype(np.int32), rate, 7)
        for axes in ((2,), (-3,)):
            with pytest.raises(ValueError, match=rf"axes must be in \[-2, 2\) for a 2-D input. Got {axes[0]}"):
                tk.dropout(x, rate, 7, broadcast_dims=axes)
        with pytest.raises(ValueError, match="axes must differ"):
            tk.dropout(x, rate, 7, broadcast_dims=(1, -1))
    with pytest.raises(ValueError, match="`dropout`: `rate` must be a number in"):
        tk.dropout(x, 1.5, 7)
    shared = numbers(tk.dropout(np.ones((2, 64), np.float32), 0.5, 7, broadcast_dims=(-2,)))
    assert (shared[0] == shared[1]).all()


def test_seeds() -> None:
    x = np.ones((8, 64), np.float32)

    def two(seed: int | None) -> Any:
        layer = tk.Dropout(0.5, seed=seed)
        return numbers(layer(x, training=True)), numbers(layer(x, training=True))

    assert (two(3)[0] == two(3)[0]).all()
    assert (two(3)[0] != two(4)[0]).any()
    assert (two(3)[0] != two(3)[1]).any()
    assert (two(2**32 - 1)[0] != two(2**31 - 1)[0]).any()
    keras.utils.set_random_seed(1)
    first = two(None)[0]
    assert (two(None)[0] != first).any()
    keras.utils.set_random_seed(1)
    assert (two(None)[0] == first).all()


def test_drop_connect() -> None:
    x = np.ones((4, 6), np.float32)
    layer = tk.DropConnect(keras.layers.Dense(5, use_bias=False, kernel_initializer="ones"), 0.5, seed=2)
    still, live = numbers(layer(x)), numbers(layer(x, training=True))
    assert (still == 6).all()
    assert (live[0] == live).all()  # one mask for the batch
    assert (live[0] != still[0]).any()
    assert (numbers(layer.layer.kernel) == 1).all()
    for kind in (keras.layers.Conv2DTranspose(3, 2), keras.layers.DepthwiseConv2D(2)):
        image, wrapped = np.ones((2, 4, 4, 1), np.float32), tk.DropConnect(kind, 0.5, seed=2)
        assert (numbers(wrapped(image, training=True)) != numbers(wrapped(image))).any()
    with pytest.raises(TypeError, match="Wrap a Dense, an EinsumDense or a convolution"):
        tk.DropConnect(keras.layers.SeparableConv2D(3, 2), 0.5)(image)
    convolution = tk.DropConnect(keras.layers.Conv2D(3, 2), 0.5, seed=2)
    assert convolution(np.ones((2, 4, 4, 1), np.float32), training=True).shape == (2, 3, 3, 3)
    with pytest.raises(TypeError, match="`layer` must have a floating-point kernel"):
        tk.DropConnect(keras.layers.ReLU(), 0.5)(x)
    again = tk.DropConnect.from_config(layer.get_config())
    assert again.rate == 0.5
    assert isinstance(again.layer, keras.layers.Dense)


def test_weights_of_keras_own_layers(tmp_path: Path) -> None:
    """A network that was trained with Keras's dropout loads into one with ours, and back."""

    def network(dropout: Any) -> Any:
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), dropout(0.5), keras.layers.Dense(2)])

    path = tmp_path / "net.weights.h5"
    theirs, ours = network(keras.layers.Dropout), network(tk.Dropout)
    theirs.save_weights(path)
    ours.load_weights(path)
    x = np.ones((2, 3), np.float32)
    assert (numbers(ours(x)) == numbers(theirs(x))).all()


@pytest.mark.parametrize(("kind", "shape"), ALL)
def test_a_layer_in_low_precision_and_in_a_clone(kind: Any, shape: tuple[int, ...]) -> None:
    """The type of the policy; `clone_model` builds it again with its rate and its seed."""
    x = np.ones(shape, np.float32)
    low = kind(0.5, seed=3, dtype="mixed_bfloat16")(x, training=True)
    assert keras.backend.standardize_dtype(low.dtype) == "bfloat16"
    model = keras.Sequential([keras.Input(shape[1:]), kind(0.25, seed=3)])
    clone = keras.models.clone_model(model)
    assert (numbers(clone(x, training=True)) == numbers(model(x, training=True))).all()
    assert (numbers(clone(x, training=True)) == numbers(model(x, training=True))).all()


@pytest.mark.parametrize(("kind", "shape"), ALL)
def test_masks_go_on_after_loading(kind: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    x = np.ones(shape, np.float32)
    model = keras.Sequential([keras.Input(shape[1:]), kind(0.5)])
    model(x, training=True)
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    for _ in range(2):
        assert (numbers(loaded(x, training=True)) == numbers(model(x, training=True))).all()


def test_alpha_and_gaussian_keep_the_moments() -> None:
    """Within six deviations of the mean, and of the variance, of 2**16 values."""
    n = 256 * 256
    x = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    alpha = numbers(tk.AlphaDropout(0.3, seed=0)(x, training=True))
    assert abs(alpha.mean()) < 6 / n**0.5
    assert abs(alpha.var() - 1) < 6 * (3 / n) ** 0.5
    gaussian = numbers(tk.GaussianDropout(0.3, seed=0)(np.ones((256, 256), np.float32), training=True))
    assert abs(gaussian.mean() - 1) < 6 * (0.3 / 0.7 / n) ** 0.5
    assert abs(gaussian.var() - 0.3 / 0.7) < 6 * 0.3 / 0.7 * (2 / n) ** 0.5


@pytest.mark.parametrize("kind", [tk.Dropout, tk.AlphaDropout])
@pytest.mark.parametrize("shape", [(8, 1, 16), (None, 1, None), (1, None, 16)])
def test_noise_shapes(kind: Any, shape: Any) -> None:
    """One draw where it has 1, also where the batch is known at run time only."""
    x = np.ones((8, 6, 16), np.float32)
    shared = [axis for axis, size in enumerate(shape) if size == 1]
    layer = kind(0.5, noise_shape=shape, seed=1)
    inputs = keras.Input((6, 16))
    model = keras.Model(inputs, kind(0.5, noise_shape=shape, seed=1)(inputs))
    y = numbers(layer(x, training=True))
    for axis in shared:
        assert (y == np.take(y, [0], axis)).all()
    assert len(np.unique(y)) == 2
    assert (numbers(model(x, training=True)) == y).all()


def test_a_noise_shape_of_numpy() -> None:
    shape: Any = np.array([8, 1])
    layer = tk.Dropout(0.5, noise_shape=shape, seed=1)
    assert layer.noise_shape == (8, 1)
    assert all(type(size) is int for size in layer.noise_shape)
    y = numbers(layer(np.ones((8, 4), np.float32), training=True))
    assert (y == y[:, :1]).all()


def test_a_subclass_is_built_by_its_own_build() -> None:
    class Scaled(tk.Dropout):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=shape[-1:], initializer="ones")

        def call(self, inputs: Any, training: bool = False, key: Any = None) -> Any:
            return super().call(inputs, training, key) * self.scale

    layer = Scaled(0.5, seed=1)
    assert not layer.built
    x = np.ones((8, 4), np.float32)
    assert (numbers(layer(x, training=True)) == numbers(tk.Dropout(0.5, seed=1)(x, training=True))).all()


def test_a_mask_of_steps_goes_through() -> None:
    inputs = keras.Input((3,))
    x = keras.layers.Embedding(5, 4, mask_zero=True)(inputs)
    x = tk.SpatialDropout1D(0.5, seed=1)(tk.Dropout(0.5, seed=2)(x))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))
    one, other = model(np.array([[1, 2, 0]])), model(np.array([[1, 2, 3]]))
    assert (numbers(one) != numbers(other)).any()
    pair = model.get_layer(index=1)(np.array([[1, 2]]))
    np.testing.assert_allclose(numbers(one), numbers(pair).mean(1), rtol=1e-5)


def test_rates_of_drop_connect() -> None:
    x = np.ones((2, 3), np.float32)

    def connected(rate: Any) -> Any:
        return tk.DropConnect(keras.layers.Dense(4, kernel_initializer="ones"), rate, seed=1)

    assert (numbers(connected(0.0)(x, training=True)) == 3).all()
    assert (numbers(connected(1.0)(x, training=True)) == 0).all()
    for rate, error in ((-0.1, ValueError), (50, ValueError), (None, TypeError)):
        with pytest.raises(error, match="`DropConnect`: `rate` must be a number in"):
            connected(rate)
