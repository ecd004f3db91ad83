"""The noise in JAX: masks, uniform and normal values as a pure function of (key, position), and dropout with them.

Bit for bit the masks of `thinned.nn`, of `thinned.noise` and of `thinned.interop.keras`: under `jit`, `vmap`, `grad`,
`scan` and `shard_map`, on one device and on many. On the CPU dropout is the compiled kernel, as a custom call of XLA;
on other devices it is 32-bit integer arithmetic, without `jax_enable_x64`.

Layers: `thinned.interop.jax.nnx`, `thinned.interop.jax.linen` (Flax) and `thinned.interop.jax.equinox`, each imported
by name.
"""

from ..extra import needed

needed("jax", "thinned.interop.jax", "JAX", "thinned[jax]")

from .functions import bernoulli, dropout, fold_in, normal, uniform  # noqa: E402

__all__ = ["bernoulli", "dropout", "fold_in", "normal", "uniform"]
