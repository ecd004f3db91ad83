"""What Flax's and Equinox's own tests ask of their dropout holds for ours."""

from __future__ import annotations

from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import thinned.interop.jax as tj
from thinned import noise
from thinned.interop.jax.equinox import Dropout as EquinoxDropout
from thinned.interop.jax.linen import Dropout as LinenDropout
from thinned.interop.jax.nnx import Dropout as NnxDropout

X = jnp.ones((16, 32))
KEY = jax.random.key(7)


def linen_call(p: float, **settings: Any) -> Any:
    return LinenDropout(p, deterministic=False, **settings).apply({}, X, rng=KEY)


def nnx_call(p: float, **settings: Any) -> Any:
    return NnxDropout(p, **settings)(X, rngs=KEY)


def equinox_call(p: float, **settings: Any) -> Any:
    return EquinoxDropout(p, **settings)(X, key=KEY)


CALLS = [linen_call, nnx_call, equinox_call]


@pytest.mark.parametrize("call", CALLS)
def test_the_mask_of_the_contract(call: Any) -> None:
    assert (np.asarray(call(0.3)) == noise.drop(np.asarray(X), 0.3, key=7)).all()
    assert (
        np.asarray(call(0.3, broadcast_dims=(0,))) == noise.drop(np.asarray(X), 0.3, key=7, broadcast_dims=(0,))
    ).all()


@pytest.mark.parametrize("call", CALLS)
def test_rates_at_the_ends(call: Any) -> None:
    """0 is the identity, 1 gives zeros; a gradient at 1 is 0, no nan."""
    assert (call(0.0) == X).all()
    assert not call(1.0).any()
    with pytest.raises(ValueError, match="must be a number in"):
        call(1.5)


def test_modes_of_nnx() -> None:
    layer = NnxDropout(0.5, rngs=nnx.Rngs(0))
    first, second = layer(X), layer(X)
    assert (first != second).any()  # the next key of the stream
    layer.eval()
    assert (layer(X) == X).all()
    assert (layer(X, deterministic=False) != X).any()
    layer.train()
    assert (layer(X) != X).any()
    with pytest.raises(ValueError, match="`rngs` must be given"):
        NnxDropout(0.5)(X)


def test_nnx_in_a_model() -> None:
    class Model(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            self.linear = nnx.Linear(32, 8, rngs=rngs)
            self.dropout = NnxDropout(0.5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.dropout(self.linear(x))

    model = Model(nnx.Rngs(0))
    forward = nnx.jit(lambda model, x: model(x))
    assert (forward(model, X) != forward(model, X)).any()  # the stream goes on through jit
    gradients = nnx.jit(nnx.grad(lambda model, x: model(x).sum()))(model, X)
    assert jax.tree.leaves(gradients)
    model.eval()
    assert (nnx.jit(lambda model, x: model(x))(model, X) == model.linear(X)).all()


def test_linen_in_a_model() -> None:
    class Model(linen.Module):  # type: ignore[misc]
        @linen.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any, train: bool) -> Any:
            return LinenDropout(0.5, deterministic=not train)(linen.Dense(8)(x))

    model = Model()
    variables = model.init(jax.random.key(0), X, False)
    still = model.apply(variables, X, False)
    one, same, other = (model.apply(variables, X, True, rngs={"dropout": jax.random.key(n)}) for n in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert set(np.unique(np.asarray(one / still))) <= {0.0, 2.0}
    with pytest.raises(Exception, match="dropout"):
        model.apply(variables, X, True)  # Flax's own: no stream of that name


def test_equinox_in_a_model() -> None:
    model = equinox.nn.Sequential([equinox.nn.Linear(32, 8, key=KEY), EquinoxDropout(0.5)])
    keys = jax.random.split(KEY, 16)
    rows = equinox.filter_jit(lambda model, x, keys: jax.vmap(lambda row, key: model(row, key=key))(x, keys))(
        model, X, keys
    )
    assert rows.shape == (16, 8)
    assert len({tuple(row) for row in np.asarray(rows != 0).tolist()}) > 1
    quiet = equinox.nn.inference_mode(model)
    assert (quiet(X[0]) == model[0](X[0])).all()
    with pytest.raises(RuntimeError, match="`key` must be given"):
        EquinoxDropout(0.5)(X)
    traced = equinox.filter_jit(lambda layer: layer(X, key=KEY))(EquinoxDropout(jnp.float32(0.5)))
    assert (traced == tj.dropout(X, 0.5, 7)).all()
