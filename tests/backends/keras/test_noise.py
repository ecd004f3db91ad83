"""The expected values of the contract, and every layer's masks, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch
from tests.vectors import read

import thinned.interop.keras as tk
import thinned.nn.functional as F
from thinned import noise

X = np.arange(1.0, 1025.0, dtype=np.float32).reshape(4, 8, 4, 8)
MASKS = read.masks()
# On JAX each place is a compilation; tests/backends/jax has them all.
CASES = [case for case in MASKS if np.prod(case.shape) < 4096][::40] if keras.backend.backend() == "jax" else MASKS
numbers = keras.ops.convert_to_numpy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_masks(case: read.Mask) -> None:
    assert case.agrees(numbers(tk.bernoulli(case.key, case.p, case.shape, **case.block)))


WHOLE = [
    case
    for case in MASKS
    if np.prod(case.shape) < 4096
    and not any(case.block.get("offset") or ())
    and tuple(case.block.get("global_shape") or case.shape) == tuple(case.shape)
][:: 31 if keras.backend.backend() == "jax" else 9]


@pytest.mark.parametrize("case", WHOLE, ids=str)
def test_masks_of_the_layer_and_the_function(case: read.Mask) -> None:
    """Those of the expected values that have no place in a whole."""
    ones, shared = np.ones(case.shape, np.float32), case.block.get("broadcast_dims", ())
    layer = tk.Dropout(case.p, noise_shape=[1 if axis in shared else None for axis in range(ones.ndim)])
    assert case.agrees(numbers(layer(ones, training=True, key=case.key)) != 0)
    assert case.agrees(numbers(tk.dropout(ones, case.p, case.key, broadcast_dims=shared)) != 0)


def test_child_keys() -> None:
    assert all(tk.as_number(tk.fold_in(key, n)) == child for key, n, child in read.children())


LAYERS: list[tuple[type, dict[str, Any], tuple[int, ...]]] = [
    (tk.Dropout, {}, ()),
    (tk.Dropout, {"noise_shape": (None, 1, 4, 1)}, (1, 3)),
    (tk.SpatialDropout2D, {"data_format": "channels_last"}, (1, 2)),
    (tk.SpatialDropout2D, {"data_format": "channels_first"}, (2, 3)),
    (tk.LockedDropout, {}, (1,)),
    (tk.StochasticDepth, {}, (1, 2, 3)),
]


@pytest.mark.parametrize(("kind", "settings", "shared"), LAYERS)
def test_a_layers_mask_is_that_of_fold_in(kind: Any, settings: dict[str, Any], shared: tuple[int, ...]) -> None:
    layer = kind(0.3, seed=5, **settings)
    for call in range(2):
        expected = noise.drop(X, 0.3, key=noise.fold_in(5, call), broadcast_dims=shared)
        assert (numbers(layer(X, training=True)) == expected).all()
        assert (numbers(layer(X)) == X).all()  # at inference nothing is drawn, and no call is counted


def test_spatial_dropout_of_sequences_and_volumes() -> None:
    one, three = tk.SpatialDropout1D(0.5), tk.SpatialDropout3D(0.5, data_format="channels_last")
    sequence, volume = X.reshape(4, 32, 8), X.reshape(4, 2, 4, 4, 8)
    for layer, x, axes in ((one, sequence, (1,)), (three, volume, (1, 2, 3))):
        expected = noise.drop(x, 0.5, key=9, broadcast_dims=axes)
        assert (numbers(layer(x, training=True, key=9)) == expected).all()


def test_alpha_and_gaussian_are_those_of_torch() -> None:
    alpha = numbers(tk.AlphaDropout(0.3)(X, training=True, key=9))
    np.testing.assert_allclose(alpha, F.alpha_dropout(torch.tensor(X), 0.3, True, key=9).numpy(), rtol=1e-6)
    small = X / 1024
    gaussian = numbers(tk.GaussianDropout(0.3)(small, training=True, key=9))
    np.testing.assert_allclose(gaussian, F.gaussian_dropout(torch.tensor(small), 0.3, True, key=9).numpy(), atol=1e-6)


def test_the_gradient_has_the_mask() -> None:
    expected = noise.drop(np.ones_like(X), 0.3, key=noise.fold_in(5, 0))
    layer = tk.Dropout(0.3, seed=5)
    assert (gradient(lambda x: layer(x, training=True), X) == expected).all()


def gradient(function: Any, x: Any) -> Any:
    """Of the sum, by the backend's own means."""
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        variable = tf.Variable(x)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(function(tf.convert_to_tensor(variable)))
        return tape.gradient(total, variable).numpy()
    if name == "jax":
        import jax

        # A layer counts its calls, which needs Keras's scope inside of jax.grad.
        with keras.StatelessScope():
            return np.asarray(jax.grad(lambda x: function(x).sum())(jax.numpy.asarray(x)))
    leaf = torch.tensor(x, requires_grad=True)
    function(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.numpy()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy: str) -> None:
    y = tk.Dropout(0.3, seed=5, dtype=policy)(X, training=True)
    kind = keras.backend.standardize_dtype(y.dtype)
    assert kind == policy.removeprefix("mixed_")
    torch_kind = getattr(torch, kind)
    expected = F.dropout(torch.tensor(X).to(torch_kind), 0.3, key=noise.fold_in(5, 0)).float().numpy()
    assert (numbers(keras.ops.cast(y, "float32")) == expected).all()
