"""What Flax's and Equinox's own tests ask of their dropout holds for ours."""

from __future__ import annotations

from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from tests.vectors import read

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
# Of the expected values those that a layer can be asked for, which has no place in a whole; each is a compilation.
FILE = [
    case
    for case in read.masks()
    if np.prod(case.shape) < 4096
    and not any(case.block.get("offset") or ())
    and tuple(case.block.get("global_shape") or case.shape) == tuple(case.shape)
][::9]


@pytest.mark.parametrize("call", CALLS)
def test_the_mask_of_the_contract(call: Any) -> None:
    assert (np.asarray(call(0.3)) == noise.drop(np.asarray(X), 0.3, key=7)).all()
    assert (
        np.asarray(call(0.3, broadcast_dims=(0,))) == noise.drop(np.asarray(X), 0.3, key=7, broadcast_dims=(0,))
    ).all()


@pytest.mark.parametrize("case", FILE, ids=str)
def test_the_expected_masks(case: read.Mask) -> None:
    """The file that every backend reads, through each layer."""
    key, shared = jnp.array([case.key >> 32, case.key & 0xFFFFFFFF], jnp.uint32), case.block.get("broadcast_dims", ())
    ones = jnp.ones(case.shape)
    for y in (
        LinenDropout(case.p, shared, deterministic=False).apply({}, ones, rng=key),
        NnxDropout(case.p, broadcast_dims=shared)(ones, rngs=key),
        EquinoxDropout(case.p, broadcast_dims=shared)(ones, key=key),
    ):
        assert case.agrees(np.asarray(y) != 0)


def test_there_are_expected_masks() -> None:
    assert len(FILE) >= 4
    assert any(case.block.get("broadcast_dims") for case in FILE)


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


@pytest.mark.parametrize("call", CALLS)
def test_gradients_at_the_ends(call: Any) -> None:
    """1 at rate 0, 0 at rate 1; never a nan. And the shares kept, within six deviations of the binomial law."""
    layers = {linen_call: linen_on, nnx_call: nnx_on, equinox_call: equinox_on}
    for p, slope in ((0.0, 1.0), (1.0, 0.0)):
        assert (jax.grad(lambda x, p=p: layers[call](p, x).sum())(X) == slope).all()
    n, q = 512 * 512, 1 - noise.threshold(0.3) / 65536
    kept = int((layers[call](0.3, jnp.ones((512, 512))) != 0).sum())
    assert abs(kept - n * q) < 6 * (n * q * (1 - q)) ** 0.5


def linen_on(p: float, x: Any) -> Any:
    return LinenDropout(p, deterministic=False).apply({}, x, rng=KEY)


def nnx_on(p: float, x: Any) -> Any:
    return NnxDropout(p)(x, rngs=KEY)


def equinox_on(p: float, x: Any) -> Any:
    return EquinoxDropout(p)(x, key=KEY)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shared", [(0,), (1,), (-1,), (0, 1)])
def test_shared_axes(call: Any, shared: tuple[int, ...]) -> None:
    y = np.asarray(call(0.5, broadcast_dims=shared))
    for axis in shared:
        assert (y == np.take(y, [0], axis)).all()
    assert (
        call(0.5, broadcast_dims=shared).tolist()
        == noise.drop(np.asarray(X), 0.5, key=7, broadcast_dims=[axis % 2 for axis in shared]).tolist()
    )


def test_collections_of_keys_in_linen() -> None:
    """The stream of the name that is asked for, and Flax's own errors for two modes, none, and no stream."""
    layer = LinenDropout(0.5, rng_collection="other")
    one, two = (
        layer.apply({}, X, deterministic=False, rngs={"other": jax.random.key(1), "dropout": jax.random.key(n)})
        for n in (2, 3)
    )
    assert (one == two).all()
    assert (one != layer.apply({}, X, deterministic=False, rngs={"other": jax.random.key(2)})).any()
    assert (layer.apply({}, X, deterministic=True) == X).all()
    with pytest.raises(Exception, match="other"):
        layer.apply({}, X, deterministic=False, rngs={"dropout": KEY})
    with pytest.raises(ValueError, match="deterministic"):
        LinenDropout(0.5, deterministic=True).apply({}, X, deterministic=False)
    with pytest.raises(ValueError, match="deterministic"):
        LinenDropout(0.5).apply({}, X)
    assert (linen_call(0.5) == LinenDropout(0.5, deterministic=False).apply({}, X, rng=KEY)).all()


def test_nnx_split_merge_and_vmap() -> None:
    """The stream is a part of the state; a stream a row gives each row its mask; a stream of another name is taken."""
    layer = NnxDropout(0.5, rngs=nnx.Rngs(0))
    layer(X)
    graph, state = nnx.split(nnx.clone(layer))
    merged = nnx.merge(graph, state)
    assert all((merged(X) == layer(X)).all() for _ in range(2))
    in_axes = nnx.StateAxes({nnx.RngState: 0, ...: None}), 0
    rows = nnx.split_rngs(splits=16)(nnx.vmap(lambda layer, x: layer(x), in_axes=in_axes))
    y = np.asarray(rows(NnxDropout(0.5, rngs=nnx.Rngs(0)), X))
    assert len({tuple(row) for row in (y != 0).tolist()}) == 16
    named = NnxDropout(0.5, rng_collection="other", rngs=nnx.Rngs(other=1, dropout=2))
    again = NnxDropout(0.5, rng_collection="other", rngs=nnx.Rngs(other=1, dropout=3))
    assert (named(X) == again(X)).all()
    given = NnxDropout(0.5, rngs=nnx.Rngs(5))
    assert (given(X, rngs=nnx.Rngs(6)) == NnxDropout(0.5)(X, rngs=nnx.Rngs(6))).all()
    quiet = nnx.view(layer, deterministic=True)
    assert (quiet(X) == X).all()
    assert (layer(X) != X).any()
