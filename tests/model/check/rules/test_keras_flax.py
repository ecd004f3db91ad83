"""Keras, TensorFlow and Flax as they are written: wrong forms are found in each of several ways of writing them, right
ones stay silent.
"""

from __future__ import annotations

from pathlib import Path

import thinned

WRONG = """
import jax
import jax.random as jr
import keras
import tensorflow as tf
from flax import linen as nn
from flax import nnx
from jax import random
from keras import Sequential, layers
from tensorflow.keras import layers as L
from tensorflow.keras.layers import LSTM, BatchNormalization, Dense, Dropout

m1 = tf.keras.Sequential([L.Dense(4), L.Dropout(0.5), L.BatchNormalization(), L.Dense(2)])  #! THN504
m2 = tf.keras.models.Sequential()
m2.add(L.Dense(4, activation="relu"))
m2.add(L.Dropout(rate=0.3))  #! THN504
m2.add(L.BatchNormalization())
m2.add(L.Dense(1))


def functional():
    i = keras.Input((4,))
    x = Dense(8)(i)
    x = Dropout(0.2)(x)  #! THN504
    x = BatchNormalization()(x)
    return keras.Model(i, Dense(1)(x))


class Sub(keras.Model):
    def __init__(self):
        super().__init__()
        self.d = Dense(4)
        self.drop = Dropout(0.2)  #! THN504
        self.bn = BatchNormalization()
        self.out = Dense(1)

    def call(self, x, training=None):
        x = self.d(x)
        x = self.drop(x, training=training)
        x = self.bn(x, training=training)
        return self.out(x)


m3 = Sequential([layers.Input((3,)), layers.Dense(3, activation="softmax"), layers.Dropout(0.5)])  #! THN207
m4 = tf.keras.Sequential()
m4.add(L.Dense(1))
m4.add(L.Dropout(0.5))  #! THN207
m4.compile("adam", "mse")


def fout():
    i = tf.keras.Input((4,))
    x = L.Dense(8, activation="relu")(i)
    o = L.Dense(3, activation="softmax")(x)
    o = L.Dropout(0.3)(o)  #! THN207
    return tf.keras.Model(inputs=i, outputs=o)


m5 = Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Dropout(0.2), layers.Dense(1)])  #! THN208


def frow(x):
    x = L.Dropout(0.1)(x)
    x = L.Dropout(0.1)(x)  #! THN208
    return L.Dense(1)(x)


m6 = Sequential()
m6.add(Dropout(0.1))
m6.add(Dropout(0.2))  #! THN208
m6.add(Dense(1))

a = layers.LSTM(4, recurrent_dropout=1.0)  #! THN406
b = tf.keras.layers.GRU(4, return_sequences=True, recurrent_dropout=1)  #! THN406
c = layers.Bidirectional(LSTM(4, recurrent_dropout=1.0))  #! THN406
d = layers.RNN(layers.LSTMCell(4, recurrent_dropout=1.0))  #! THN406

e = nn.MultiHeadDotProductAttention(num_heads=2, dropout_rate=0.1, broadcast_dropout=True)  #! THN308
f = nn.SelfAttention(2, dropout_rate=0.1)  #! THN308
g = nnx.MultiHeadAttention(num_heads=2, in_features=4, dropout_rate=0.3, broadcast_dropout=True, rngs=rngs)  #! THN308
h = nn.dot_product_attention(f, f, f, dropout_rng=a, dropout_rate=0.1)  #! THN308


def k1(key, x):
    a = jr.normal(key, (3,))
    return a + jr.uniform(key, (3,))  #! THN603


def k2(rng):
    w = random.normal(rng, (3,))
    b = random.normal(rng, (3,))  #! THN603
    return w, b


class K3:
    def f(self, key):
        mask = jax.random.bernoulli(key, 0.5, (3,))
        return mask * jax.random.normal(key, (3,))  #! THN603


def k4():
    key = jax.random.PRNGKey(0)
    return {"a": jax.random.normal(key, (3,)), "b": jax.random.normal(key, (2,))}  #! THN603


def build(x):
    return L.Dropout(0.5)(x, training=True)  #! THN112


class S2(tf.keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dropout = tf.keras.layers.Dropout(0.1)
        self.dense = tf.keras.layers.Dense(3)

    def call(self, x):
        x = self.dense(x)
        return tf.nn.dropout(x, 0.5)  #! THN112


class FL(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3)(x)
        return nn.Dropout(rate=0.5, deterministic=False)(x)  #! THN112


class FL2(nn.Module):
    def setup(self):
        self.drop = nn.Dropout(0.5)

    def __call__(self, x):
        return self.drop(x, deterministic=False)  #! THN112


class NX(nnx.Module):
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.5, deterministic=False, rngs=rngs)

    def __call__(self, x):
        return self.drop(x, deterministic=False)  #! THN112


net = tf.keras.Sequential([L.Dense(3), L.Dropout(0.5), L.Dense(1)])


@tf.function
def step(x, y):
    with tf.GradientTape() as t:
        p = net(x)  #! THN113
        loss = tf.reduce_mean((p - y) ** 2)
    return t.gradient(loss, net.trainable_variables)


class Trainer:
    def __init__(self):
        self.model = tf.keras.Sequential([L.Dense(3), L.Dropout(0.5), L.Dense(1)])

    def step(self, x, y):
        with tf.GradientTape() as t:
            p = self.model(x)  #! THN113
        return p


keras_net = keras.Sequential([layers.Dropout(0.2), layers.Dense(1)])


def loop(x):
    with tf.GradientTape(persistent=True) as t, open("x"):
        p = keras_net(x)  #! THN113
    return p, t
"""

RIGHT = """
import functools
import jax
import keras
import tensorflow as tf
from flax import linen as nn
from flax import nnx
from jax import random
from keras import Sequential, layers

text = tf.keras.Sequential(
    [
        tf.keras.layers.Flatten(input_shape=(28, 28)),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.Dropout(0.5),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
text.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
cnn = Sequential(
    [
        layers.Conv2D(8, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.SpatialDropout2D(0.1),
        layers.Conv2D(8, 3),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(8),
        layers.Dropout(0.3),
        layers.Dense(2),
    ]
)
cnn.compile()


def residual(x):
    skip = x
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(8)(x)
    x = layers.Add()([x, skip])
    x = layers.LayerNormalization()(x)
    return layers.Dropout(0.1)(x)


def two_branches(x):
    a = layers.Dropout(0.1)(x)
    b = layers.Dropout(0.2)(x)
    return layers.Dense(2)(layers.Concatenate()([a, b]))


class Block(layers.Layer):
    def __init__(self, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(2, 4, dropout=rate)
        self.drop = layers.Dropout(rate)
        self.norm = layers.LayerNormalization()

    def call(self, x, training=None):
        y = self.att(x, x, training=training)
        return self.norm(x + self.drop(y, training=training))


class NoArgument(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop = layers.Dropout(0.5)
        self.out = layers.Dense(3)

    def call(self, x):
        return self.out(self.drop(x))


rnn = Sequential([layers.LSTM(8, recurrent_dropout=0.2, return_sequences=True), layers.GRU(4, dropout=0.99)])
backbone = keras.applications.MobileNetV2(include_top=False)
i = keras.Input((32, 32, 3))
h = backbone(i, training=False)
h = layers.GlobalAveragePooling2D()(h)
h = layers.Dropout(0.2)(h)
head = keras.Model(i, layers.Dense(5)(h))


@tf.function
def step(x, y, opt):
    with tf.GradientTape() as tape:
        p = text(x, training=True)
        loss = tf.reduce_mean((p - y) ** 2)
    opt.apply_gradients(zip(tape.gradient(loss, text.trainable_variables), text.trainable_variables))
    return loss, text(x, training=False)


def gradient_of_input(x):
    plain = Sequential([layers.Dense(3), layers.Dense(1)])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = plain(x)
    return tape.gradient(y, x)


def mc_predict(x, n):
    return tf.stack([text(x, training=True) for _ in range(n)])


class Linen(nn.Module):
    deterministic: bool = False

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = nn.SelfAttention(num_heads=2, dropout_rate=0.1, broadcast_dropout=False, deterministic=not train)(x)
        x = nn.MultiHeadDotProductAttention(num_heads=2)(x, x)
        return nn.Dropout(0.1)(x, deterministic=self.deterministic)


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.linear = nnx.Linear(8, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, dropout_rate=0.1, broadcast_dropout=False, rngs=rngs)

    def __call__(self, x):
        return self.attention(self.dropout(self.linear(x)))


def init(key):
    keys = random.split(key, 3)
    return random.normal(keys[0], (3,)), random.normal(keys[1], (3,)), random.normal(keys[2], (3,))


def sequence(key, n):
    out = []
    for _ in range(n):
        key, sub = random.split(key)
        out.append(random.normal(sub, (3,)))
    return out


def folded(key, n):
    return [random.normal(random.fold_in(key, i), (3,)) for i in range(n)]


@functools.partial(jax.jit, static_argnames="train")
def apply(params, x, key, train):
    drop_key, noise_key = jax.random.split(key)
    y = Linen().apply(params, x, train=train, rngs={"dropout": drop_key})
    return y + jax.random.normal(noise_key, y.shape)


def either(key, flag):
    return jax.random.normal(key) if flag else jax.random.uniform(key)


def same_noise_twice_by_name(key, x):
    first = jax.random.normal(key, x.shape)
    key = jax.random.fold_in(key, 1)
    return first + jax.random.normal(key, x.shape)


def while_loop(key):
    while True:
        key, sub = jax.random.split(key)
        if jax.random.uniform(sub) > 0.9:
            return key


def evaluate(model, x):
    return model(x, training=False), model.predict(x)
"""


def test_wrong_forms_are_found(tmp_path: Path) -> None:
    """Each where it stands, and nothing else."""
    (tmp_path / "wrong.py").write_text(WRONG)
    expected = {
        (number, line.rpartition("#! ")[2]) for number, line in enumerate(WRONG.splitlines(), 1) if "#! " in line
    }
    codes = [code for _, code in expected]
    for code in ("THN112", "THN113", "THN207", "THN208", "THN308", "THN406", "THN504", "THN603"):
        assert codes.count(code) >= 3, code
    assert {(finding.line, finding.code) for finding in thinned.check(tmp_path)} == expected


def test_right_forms_stay_silent(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(RIGHT)
    found = thinned.check(tmp_path)
    assert list(found) == []
    assert not found.nothing
