"""A mask is the same under JAX's transformations, and on many devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import thinned.interop.jax as tj
from thinned import noise

P_DROP = 0.3
X = jnp.arange(1.0, 513.0).reshape(8, 64)
Y = noise.drop(np.asarray(X), P_DROP, key=7)
SPECS = [P("a", "b"), P(("a", "b")), P(None, "b"), P()]


def thin(x: Any, key: Any = 7) -> Any:
    return tj.dropout(x, P_DROP, key)


def test_jit_scan_and_remat() -> None:
    assert (jax.jit(thin)(X) == Y).all()
    assert (jax.jit(jax.checkpoint(thin))(X) == Y).all()
    keys = jax.random.split(jax.random.key(0), 3)
    _, steps = jax.lax.scan(lambda carry, key: (carry, thin(X, key)), 0, keys)
    for step, key in zip(steps, keys, strict=True):
        assert (step == thin(X, key)).all()


def test_vmap_over_rows_keys_and_rates() -> None:
    keys = jax.random.split(jax.random.key(0), 8)
    rows = jax.vmap(thin)(X, keys)
    assert all((rows[i] == thin(X[i], keys[i])).all() for i in range(8))
    one_key = jax.vmap(thin, (0, None))(X, 7)
    assert all((one_key[i] == thin(X[i])).all() for i in range(8))
    both = jax.vmap(lambda key: jax.vmap(thin, (1, None), 1)(X, key))(keys)  # rows of columns, a key each
    assert all((both[i, :, j] == thin(X[:, j], keys[i])).all() for i in range(2) for j in range(3))
    rates = jax.vmap(lambda p: tj.dropout(X, p, 7))(jnp.array([0.0, 0.3, 1.0]))
    assert (rates[0] == X).all()
    assert (rates[1] == Y).all()
    assert not rates[2].any()


def test_derivatives() -> None:
    """The map is linear: gradient, tangent, and a second derivative through both."""
    weights = jnp.where(Y != 0, np.float32(noise.scale(P_DROP)), 0)
    assert (jax.grad(lambda x: (thin(x) * X).sum())(X) == weights * X).all()
    assert (jax.jvp(thin, (X,), (X,))[1] == Y).all()
    assert jax.hessian(lambda x: (thin(x) ** 2).sum() / 2)(X[0]).diagonal().tolist() == (weights[0] ** 2).tolist()
    keys = jax.random.split(jax.random.key(0), 8)
    rows = jax.vmap(jax.grad(lambda x, key: thin(x, key).sum()))(X, keys)
    assert all((rows[i] == thin(jnp.ones(64), keys[i])).all() for i in range(8))


def test_nothing_is_kept_for_the_gradient_but_the_key() -> None:
    _, back = jax.vjp(thin, X)
    assert all(leaf.size <= 3 for leaf in jax.tree.leaves(back))


def test_a_dropped_number_that_is_none_is_gone() -> None:
    bad = jnp.full(64, jnp.nan)
    kept = np.asarray(thin(bad))
    assert (np.isnan(kept) == noise.bernoulli(7, P_DROP, (64,))).all()
    assert not jax.grad(lambda x: tj.dropout(x, 1.0, 7).sum())(bad).any()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_sharded_arrays(spec: P) -> None:
    """The masks of one device: `jit` divides the array, or `shard_map` gives each device its block."""
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    sharded = jax.device_put(X, NamedSharding(mesh, spec))
    compiled = jax.jit(jax.value_and_grad(lambda x: (thin(x) * x).sum())).lower(sharded).compile()
    assert (compiled(sharded)[1] == 2 * Y).all()
    assert not any(word in compiled.as_text() for word in ("all-gather", "all-to-all", "collective-permute"))
    blocks = jax.shard_map(lambda x: tj.dropout(x, P_DROP, 7, spec=spec), mesh=mesh, in_specs=spec, out_specs=spec)
    assert (jax.jit(blocks)(sharded) == Y).all()


def test_shards_in_other_ways() -> None:
    """The gradient in `shard_map`, an offset by hand, and axes that are explicit in types."""
    mesh, spec = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2), P("a", "b")
    slope = jax.shard_map(
        jax.grad(lambda x: (tj.dropout(x, P_DROP, 7, spec=spec) * x).sum() / 2),
        mesh=mesh,
        in_specs=spec,
        out_specs=spec,
    )
    assert (jax.jit(slope)(X) == Y).all()

    def by_hand(x: Any) -> Any:
        row = jax.lax.axis_index("a") * 4
        return tj.dropout(x, P_DROP, 7, offset=(row, 0), global_shape=(8, 64))

    assert (jax.jit(jax.shard_map(by_hand, mesh=mesh, in_specs=P("a"), out_specs=P("a")))(X) == Y).all()
    explicit = jax.make_mesh((2, 2), ("a", "b"))
    with jax.set_mesh(explicit):
        placed = jax.device_put(X, spec)
        assert (thin(placed) == Y).all()
        assert jax.typeof(jax.jit(thin)(placed)).sharding.spec == spec


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_same_bits_by_the_kernel_and_by_integers(dtype: str) -> None:
    from thinned.interop.jax.primitive import plain

    x = X.astype(dtype)
    law, strides = jnp.array([noise.scale(P_DROP), 0, 0], jnp.float32), (64, 1)
    operands = x, jnp.array([0, 7], jnp.uint32), jnp.zeros(2, jnp.uint32), jnp.uint32(noise.threshold(P_DROP)), law
    assert (plain(*operands, strides=strides, origin=True) == thin(x)).all()
    assert (np.asarray(thin(x)) == noise.drop(np.asarray(x), P_DROP, key=7)).all()


def test_shared_axes_and_odd_shapes() -> None:
    shared = np.asarray(tj.dropout(X, P_DROP, 7, broadcast_dims=(-1,)))
    assert (shared == noise.drop(np.asarray(X), P_DROP, key=7, broadcast_dims=(1,))).all()
    assert tj.dropout(jnp.zeros((0, 3)), 0.5, 7).shape == (0, 3)
    assert tj.dropout(jnp.float32(2), 0.5, 7) == noise.drop(np.full(1, 2, np.float32), 0.5, key=7)[0]
    assert tj.dropout(jnp.ones(4, jnp.complex64), 0.5, 7).tolist() == [0, 2, 2, 2]
    large = jnp.ones(1 << 18)  # several threads
    assert (np.asarray(thin(large)) == noise.drop(np.ones(1 << 18, np.float32), P_DROP, key=7)).all()


def test_keys() -> None:
    for key in (jax.random.key(7), jax.random.PRNGKey(7), np.uint64(7), jnp.array([0, 7], jnp.uint32)):
        assert (thin(X, key) == Y).all()
    child = tj.fold_in(jax.random.key(7), 3)
    assert jnp.issubdtype(child.dtype, jax.dtypes.prng_key)
    assert (thin(X, child) == noise.drop(np.asarray(X), P_DROP, key=noise.fold_in(7, 3))).all()
    assert (jax.jit(tj.fold_in)(tj.fold_in(7, 0), jnp.int32(2)) == tj.fold_in(tj.fold_in(7, 0), 2)).all()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: tj.dropout(X, 20, 7), ValueError, r"`p` must be a number in \[0, 1\]. Got 20. If 20 %"),
        (lambda: tj.dropout(X, None, 7), TypeError, "`p` must be"),
        (lambda: tj.dropout(X, jnp.ones(3), 7), TypeError, "one floating-point scalar"),
        (lambda: tj.dropout(X, 0.5, -1), ValueError, r"`key` must be an integer in \[0, 2\*\*64\)"),
        (lambda: tj.dropout(X, 0.5, jnp.zeros(4, jnp.uint32)), TypeError, "64 bits"),
        (lambda: tj.dropout(X, 0.5, jax.random.split(jax.random.key(0))), TypeError, "under jax.vmap one key a row"),
        (lambda: tj.dropout(X.astype(int), 0.5, 7), TypeError, "floating-point"),
        (lambda: tj.dropout(X, 0.5, 7, offset=(0, 1)), ValueError, "inside `global_shape`"),
        (lambda: tj.uniform(7, (3,), dtype=jnp.int32), TypeError, "`dtype` must be floating-point"),
    ],
)
def test_errors(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()
