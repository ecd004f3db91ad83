"""Flax's linen, compact and with setup, and NNX: wrong forms are found, right ones stay silent."""

from __future__ import annotations

from pathlib import Path

from tests.model.check.rules.marked import assert_found_where_marked

WRONG = """
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import nnx
from flax.training import train_state


class Compact(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.Dense(8)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)  #! THN504
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.1)(x, deterministic=not train)
        x = x.reshape((x.shape[0], -1))
        x = nn.Dropout(0.2)(x, deterministic=not train)  #! THN208
        x = nn.Dense(10)(x)
        x = nn.Dropout(0.2, deterministic=not train)(x)  #! THN207
        return nn.log_softmax(x)


class Setup(nn.Module):
    def setup(self):
        self.first = nn.Dense(8)
        self.drop = nn.Dropout(0.5)  #! THN504
        self.norm = nn.BatchNorm()
        self.drop2 = nn.Dropout(0.5)
        self.drop3 = nn.Dropout(0.5)  #! THN208
        self.out = nn.Dense(3)
        self.last = nn.Dropout(0.1)  #! THN207

    def __call__(self, x, deterministic=True):
        x = self.drop(self.first(x), deterministic)
        x = self.norm(nn.relu(x), use_running_average=deterministic)
        x = self.drop2(x, deterministic=deterministic)
        x = self.drop3(x, deterministic=deterministic)
        return self.last(self.out(x), deterministic)


setup = Setup()
state = train_state.TrainState.create(apply_fn=setup.apply, params=params, tx=optax.adam(1e-3))


def loss(params, x, key):
    return setup.apply({"params": params}, x, rngs={"dropout": key}).sum()  #! THN113


def step(state, x, key):
    return state.apply_fn({"params": state.params}, x, rngs={"dropout": key})


class Loop(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        for width in self.widths:
            x = nn.Dense(width)(x)
            x = nn.Dropout(0.1)(x, deterministic=not train)  #! THN504
            x = nn.BatchNorm()(x, use_running_average=not train)
        return nn.Dense(1)(x)


rows = nn.Sequential([nn.Dense(4), nn.relu, nn.Dropout(0.1, deterministic=False), nn.BatchNorm()])  #! THN504 THN112
many = nnx.Sequential(nnx.Linear(4, 4, rngs=rngs), nnx.Dropout(0.1, rngs=rngs), nnx.Dropout(0.1, rngs=rngs))  #! THN208


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(8, 8, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)  #! THN504
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.a = nnx.Dropout(rate=0.1, rngs=rngs)
        self.b = nnx.Dropout(rate=0.1, rngs=rngs)  #! THN208
        self.out = nnx.Linear(8, 1, rngs=rngs)
        self.end = nnx.Dropout(0.1, rngs=rngs)  #! THN207

    def __call__(self, x):
        x = self.norm(nnx.relu(self.drop(self.linear(x))))
        x = self.a(x)
        x = self.b(x)
        return self.end(self.out(x))


net = Nnx(nnx.Rngs(0))
optimizer = nnx.Optimizer(net, optax.adam(1e-3))


class Never(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(0.5)(x, deterministic=True)  #! THN114
        x = nn.Dense(3)(x)
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=True)(x))  #! THN114


class NeverNnx(nnx.Module):
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.attend = nnx.MultiHeadAttention(2, 8, dropout_rate=0.1, broadcast_dropout=False, rngs=rngs)

    def __call__(self, x):
        x = self.attend(x, deterministic=False)  #! THN112
        return self.drop(x, deterministic=True)  #! THN114


def two_views(params, x, key):
    first = setup.apply(params, x, False, rngs={"dropout": key})
    second = setup.apply(params, x, False, rngs={"dropout": key})  #! THN603
    return first, second


def train(state, data, key):
    for x in data:
        y = state.apply_fn({"params": state.params}, x, False, rngs={"dropout": key})  #! THN603
    return y
"""

RIGHT = """
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import nnx
from flax.training import train_state


class MlpBlock(nn.Module):
    width: int
    rate: float = 0.1

    @nn.compact
    def __call__(self, x, *, deterministic: bool):
        h = nn.gelu(nn.Dense(4 * self.width)(x))
        h = nn.Dropout(self.rate)(h, deterministic=deterministic)
        h = nn.Dense(self.width)(h)
        return nn.Dropout(self.rate)(h, deterministic=deterministic)


class EncoderBlock(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic=True):
        y = nn.LayerNorm()(x)
        y = nn.MultiHeadDotProductAttention(2, dropout_rate=0.1, broadcast_dropout=False)(
            y, y, deterministic=deterministic
        )
        y = nn.Dropout(0.1)(y, deterministic=deterministic)
        x = x + y
        return x + MlpBlock(8)(nn.LayerNorm()(x), deterministic=deterministic)


block = MlpBlock(8)
shapes = block.apply(block.init(jax.random.key(0), x, deterministic=True), x, deterministic=True)
tx = optax.adam(1e-3)


class CNN(nn.Module):
    use_norm: bool = True

    @nn.compact
    def __call__(self, x, train: bool = False):
        for width in (8, 16):
            x = nn.Conv(width, (3, 3))(x)
            x = nn.BatchNorm(use_running_average=not train)(x)
            x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
            x = nn.Dropout(0.1, broadcast_dims=(1, 2), deterministic=not train)(x)
            x = nn.Dropout(0.1, deterministic=not train)(x)
        x = x.reshape((x.shape[0], -1))
        x = nn.Dropout(0.5)(x, deterministic=not train)
        x = nn.Dense(16)(x)
        if self.use_norm:
            x = nn.LayerNorm()(x)
        x = nn.Dropout(0.5)(x, deterministic=not train)
        x += 1
        x = nn.Dropout(0.5)(x, deterministic=not train)
        return nn.Dense(10)(x)


model = CNN()
state = train_state.TrainState.create(apply_fn=model.apply, params=params, tx=tx)


@jax.jit
def train_step(state, batch, key):
    key = jax.random.fold_in(key, state.step)

    def loss_fn(params):
        logits = state.apply_fn({"params": params}, batch["x"], train=True, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"]).mean()

    return jax.value_and_grad(loss_fn)(state.params)


@jax.jit
def eval_step(state, batch):
    return state.apply_fn({"params": state.params}, batch["x"]).argmax(-1), model.apply(v, batch["x"], train=False)


def by_place(params, x, key):
    return model.apply(params, x, True, rngs={"dropout": key})


def with_options(params, x, key, **options):
    return model.apply(params, x, rngs={"dropout": key}, **options)


class SqueezeExcite(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        gate = nn.Dense(8)(x.mean((1, 2)))
        gate = nn.sigmoid(gate)
        gate = nn.Dropout(0.1)(gate, deterministic=not train)
        return x * gate[:, None, None]


class Pooling(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic):
        weights = nn.softmax(nn.Dense(1)(x), axis=1)
        weights = nn.Dropout(0.1)(weights, deterministic=deterministic)
        return jnp.sum(weights * x, axis=1)


class Setup(nn.Module):
    rate: float

    def setup(self):
        self.layers = [nn.Dense(8) for _ in range(3)]
        self.drops = [nn.Dropout(self.rate) for _ in range(3)]
        self.drop = nn.Dropout(self.rate)
        self.norm = nn.BatchNorm()

    def __call__(self, x, train: bool):
        for layer, drop in zip(self.layers, self.drops):
            x = drop(nn.relu(layer(x)), deterministic=not train)
        x = self.norm(x, use_running_average=not train)
        return self.drop(x, deterministic=not train)

    def encode(self, x):
        return self.drop(x, deterministic=True)


class Chosen(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        drop = nn.Dropout(0.5)
        if train:
            x = drop(x, deterministic=False)
        else:
            x = drop(x, deterministic=True)
        return nn.Dense(3)(x)


class FrozenTeacher(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dropout(0.5, deterministic=True)(x)
        return nn.Dense(3)(x)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)
        self.off = nnx.Dropout(0.0, rngs=rngs)
        self.linear = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x)))
        x = self.off(self.drop(x.mean((1, 2))))
        return self.linear(x)


net = Net(nnx.Rngs(0))
optimizer = nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)
net.train()
net.eval()
stack = nnx.Sequential(nnx.Linear(4, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs), nnx.relu, nnx.Dropout(0.1, rngs=rngs))


def steps(state, data, key):
    for x in data:
        key, sub = jax.random.split(key)
        y = state.apply_fn({"params": state.params}, x, True, rngs={"dropout": sub})
    return y, model.apply(state.params, x, True, rngs={"params": key, "dropout": key})
"""


def test_wrong_forms_are_found(tmp_path: Path) -> None:
    """Each where it stands, and nothing else."""
    assert_found_where_marked(WRONG, tmp_path)


def test_right_forms_stay_silent(tmp_path: Path) -> None:
    assert_found_where_marked(RIGHT, tmp_path)
