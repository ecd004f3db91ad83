"""Keras's subclassed and functional models: wrong forms are found, right ones stay silent."""

from __future__ import annotations

from pathlib import Path

from tests.model.check.rules.marked import assert_found_where_marked

WRONG = """
import jax
import keras
import tensorflow as tf
from keras import layers


def compiled():
    i = keras.Input((4,))
    drop = layers.Dropout(0.1)  #! THN207
    o = drop(layers.Dense(3)(i))
    return keras.Model(inputs=[i], outputs=[o])


built = compiled()
built.compile("adam", "mse")


class Out(keras.Model):
    def __init__(self):
        super().__init__()
        self.a = layers.Dropout(0.1)
        self.b = layers.GaussianDropout(0.1)  #! THN208
        self.out = layers.Dense(3)
        self.drop = layers.Dropout(0.5)  #! THN207

    def call(self, x, training=None):
        x = self.b(self.a(x))
        return self.drop(self.out(x), training=training)


model = Out()
model.compile("adam", "mse")


class Inner(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
        self.drop = layers.Dropout(0.5)

    def call(self, x):
        return self.dense(self.drop(x))


class Hard(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.lstm = layers.LSTM(4, dropout=0.1)
        self.drop = layers.Dropout(0.5)
        self.off = layers.Dropout(0.5)
        self.tail = layers.Lambda(lambda x: tf.nn.dropout(x, 0.5))  #! THN112

    def call(self, x, training=None):
        x = self.inner(x, training=True)  #! THN112
        x = self.lstm(x, training=True)  #! THN112
        x = self.drop(x, training=True)  #! THN112
        x = layers.Dense(3)(x)
        x = keras.random.dropout(x, 0.5)  #! THN112
        return self.off(layers.Dense(3)(x), False)  #! THN114


hard = Hard()


def compute(trainable, non_trainable, x, y):
    p, non_trainable = hard.stateless_call(trainable, non_trainable, x)  #! THN113
    return ((p - y) ** 2).sum(), non_trainable


gradient = jax.value_and_grad(compute, has_aux=True)
"""

RIGHT = """
import jax
import keras
import tensorflow as tf
from keras import layers


def excite(x):
    gate = layers.Dense(8, activation="sigmoid")(x)
    gate = layers.Dropout(0.1)(gate)
    return layers.Multiply()([x, gate])


def attention(x):
    scores = layers.Dropout(0.1)(layers.Dense(1)(x))
    weights = layers.Softmax(axis=1)(scores)
    return layers.Dot(1)([weights, x])


def branchy(x, deep):
    x = layers.Dropout(0.1)(x)
    if deep:
        x = layers.Dense(8)(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dropout(0.1, noise_shape=(None, 1, 8))(layers.Dense(8)(x))
    return layers.Dropout(0.1)(x)


class Kept(keras.Model):
    def __init__(self):
        super().__init__()
        self.backbone = keras.applications.MobileNetV2(include_top=False)
        self.lstm = layers.LSTM(4, dropout=0.1)
        self.drop = layers.Dropout(0.5)
        self.out = layers.Dense(3)

    def call(self, inputs, training=None):
        x = self.backbone(inputs, training=False)
        x = self.lstm(x)
        x = self.drop(x)
        return self.out(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            p = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=p)
        return {"loss": loss}

    def test_step(self, data):
        return self.drop(data, training=False)


class OwnDropout(layers.Layer):
    def call(self, inputs, training=None):
        return tf.cond(training, lambda: tf.nn.dropout(inputs, 0.5), lambda: inputs)


class OldDropout(layers.Layer):
    def call(self, inputs, training=None):
        def dropped():
            return keras.backend.dropout(inputs, 0.5)

        return keras.backend.in_train_phase(dropped, inputs, training=training)


class Scaled(layers.Layer):
    def call(self, inputs, training=False):
        if not training:
            return inputs
        return keras.random.dropout(inputs, 0.5, seed=self.generator)


def loss_fn(trainable, non_trainable, x, y):
    p, non_trainable = built.stateless_call(trainable, non_trainable, x, training=True)
    return ((p - y) ** 2).sum(), non_trainable


built = keras.Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Dense(1)])
gradient = jax.value_and_grad(loss_fn, has_aux=True)


def test_step(trainable, non_trainable, x):
    return built.stateless_call(trainable, non_trainable, x)


features = keras.Sequential([layers.Dense(8, "relu"), layers.Dropout(0.2)])
whole = keras.Sequential([features, layers.Dense(2)])
whole.compile("adam", "mse")
i = keras.Input((4,))
embedded = layers.Dropout(0.1)(layers.Dense(8)(i))
encoder = keras.Model(i, embedded)
head = keras.Model(i, layers.Dense(2)(encoder(i)))
head.compile("adam", "mse")
"""


def test_wrong_forms_are_found(tmp_path: Path) -> None:
    """Each where it stands, and nothing else."""
    assert_found_where_marked(WRONG, tmp_path)


def test_right_forms_stay_silent(tmp_path: Path) -> None:
    assert_found_where_marked(RIGHT, tmp_path)
