"""What each rule for source code finds, and what it leaves alone. A line that ends in `#!` must be found, no other."""

from __future__ import annotations

import pytest

from thinned.model.check.registry import rules
from thinned.model.check.walk import check_text

HEAD = """\
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import dropout as drop, scaled_dot_product_attention
from functools import partial
from flash_attn import flash_attn_func
from xformers.ops import fmha, memory_efficient_attention
from somewhere import Base, build_rate
import thinned.nn


"""

CASES = {
    "THN101": """
class Net(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x, dropout=F.relu):
        x = F.dropout(x, p=0.5)  #!
        x = torch.nn.functional.dropout2d(x, self.p)  #!
        x = drop(x)  #!
        x = F.dropout(x, training=True)  #!
        x = torch.dropout(x, 0.5, True)  #!
        x = F.alpha_dropout(x, 0.1)  #!
        x = torch.dropout(x, 0.5, self.training)
        x = F.dropout(x, 0.5, self.training)
        x = F.dropout(x, self.p if self.training else 0.0)
        x = F.dropout(x, 0.0)
        x = dropout(x)
        rate = 0.5 if self.training else 0.0
        x = F.dropout(x, rate)
        if self.training:
            x = F.dropout(x, 0.5)
        x = F.dropout(x, 0.5) if self.training and self.p else x
        return F.dropout(x, *self.rest)

    def mc_forward(self, x):
        return F.dropout(x, 0.5, training=True)

    def head(self, x):
        if not self.training:
            return x
        return F.dropout(x, 0.5)

    def attend(self, x, p=0.0):
        return torch.dropout(x, p, train=True)

    @staticmethod
    def split(x):
        return F.dropout(x, 0.5)


class Child(Net):
    def forward(self, x):
        return F.dropout(x, 0.5)  #!


class Foreign(Base):
    def forward(self, x):
        return F.dropout(x, 0.5)  #!


class MCDropout(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


class Mask(torch.autograd.Function):
    def forward(ctx, x):
        return F.dropout(x, 0.5)


def noise(x):
    return F.dropout(x, 0.5)


class Renamed(nn.Module):
    shared = staticmethod(F.dropout)

    def __init__(self, p, deep):
        super().__init__()
        self.dropout = F.dropout
        self.thin = partial(F.dropout, p=p)
        self.told = partial(F.dropout, p=p, training=True)
        self.maybe = F.dropout if p else nn.Identity()
        self.layer = nn.Dropout(p)
        self.off = partial(F.dropout, p=0.0)
        self.table = {"drop": F.dropout, "relu": F.relu}
        self.row = [F.relu, F.dropout]
        if deep:
            self.either = F.dropout2d
        else:
            self.either = nn.Identity()

    def forward(self, x):
        x = self.dropout(x)  #!
        x = self.thin(x)  #!
        x = self.told(x)  #!
        x = self.maybe(x)  #!
        x = self.either(x, 0.1)  #!
        x = self.shared(x, 0.2)  #!
        local = F.dropout
        x = local(x, 0.5)  #!
        bound = partial(F.dropout, x)
        x = bound()  #!
        x = anywhere(x)  #!
        x = self.table["drop"](x, 0.5)  #!
        x = self.table["relu"](x, 0.5)
        x = self.row[1](x)  #!
        home = torch.nn.functional
        x = home.dropout(x)  #!
        x = home.dropout(x, training=self.training)
        x = self.dropout(x, 0.5, self.training)
        x = self.thin(x, training=self.training)
        x = self.thin(x, p=0.0)
        x = self.off(x)
        x = self.layer(x)
        if self.training:
            x = self.dropout(x)
        return self.unknown(x)


anywhere = partial(F.dropout, p=0.1)


class Method(nn.Module):
    def forward(self, x):
        x = F.dropout(x, 0.5 if self.train else 0.0)  #!
        p = 0.1 if self.train else 0
        x = F.dropout(x, p)  #!
        x = F.dropout(x, 0.1, training=self.train)  #!
        if self.train:
            x = F.dropout(x, 0.5)  #!
        if not self.eval:
            x = F.dropout(x, 0.5)  #!
        return F.dropout(x, 0.5 * self.training) if self.train else x


class Flag(nn.Module):
    def __init__(self, train):
        super().__init__()
        self.train = train

    def forward(self, x):
        return F.dropout(x, 0.5 if self.train else 0.0)


class Used(nn.Module):
    def forward(self, x):
        x = self.both(x)
        return self.one(x) if self.training else x

    def both(self, x):
        return F.dropout(x, 0.5)  #!

    def one(self, x):
        return F.dropout(x, 0.5)

    def nobody(self, x):
        return F.dropout(x, 0.5)  #!


class Words(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.1)  #!


class Sentences(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = Words()

    def forward(self, x):
        return self.words(x)
""",
    "THN102": """
class Attention(nn.Module):
    def __init__(self, config, p):
        super().__init__()
        self.config = config
        self.p, self.other = p, p
        self.dropout = p
        self.off = 0.0
        self.drop = nn.Dropout(p)
        self.changes = p

    def set(self, p):
        self.changes = p

    @property
    def rate(self):
        return self.p if self.training else 0.0

    def forward(self, q, k, v, p):
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout)  #!
        y = F.scaled_dot_product_attention(q, k, v, None, 0.1)  #!
        y = scaled_dot_product_attention(q, k, v, dropout_p=self.config.attention_dropout)  #!
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.drop.p)  #!
        y = flash_attn_func(q, k, v, self.dropout, causal=True)  #!
        rate = self.dropout
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)  #!
        y = F.scaled_dot_product_attention(q, k, v)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout * self.training)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.off)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.rate)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.changes)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=build_rate(self))
        told = self.dropout if self.training else 0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=told)
        late = self.dropout
        if not self.training:
            late = 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=late)
        if self.training:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout)
        y = memory_efficient_attention(q, k, v, p=self.p)  #!
        y = fmha.memory_efficient_attention(q, k, v, None, self.p)  #!
        y = memory_efficient_attention(q, k, v, p=self.p if self.training else 0.0)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.p if self.train else 0.0)  #!
        if self.train:
            y = flash_attn_func(q, k, v, dropout_p=self.p)  #!
        attend = partial(F.scaled_dot_product_attention, dropout_p=0.1)
        y = attend(q, k, v)  #!
        return self.while_training(q, k, v) if self.training else y

    def while_training(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=self.p)


def attention(q, k, v, p):
    return F.scaled_dot_product_attention(q, k, v, dropout_p=p)
""",
    "THN103": """
class Net(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p
        self.dropout = nn.Dropout(p)

    def forward(self, x):
        x = nn.Dropout(self.p)(x)  #!
        layer = nn.Dropout2d(0.1)  #!
        x = nn.Dropout(self.p if self.training else 0.0)(x)
        if self.training:
            x = nn.Dropout(0.5)(x)
        return self.dropout(layer(x))

    def forward_features(self, x):
        drop = nn.Dropout(0.5)
        drop.train(self.training)
        return drop(x)

    def build(self):
        return nn.Dropout(0.5)


def model(x):
    return nn.Dropout(0.5)(x)
""",
    "THN104": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()


def forgets(x):
    model = Net().cuda()
    with torch.no_grad():
        return model(x)  #!


@torch.inference_mode()
def forgets_too(x):
    model = Outer()
    model.load_state_dict(torch.load("net.pt"))
    return model(x).argmax(-1)  #!


def remembers(x):
    model = Net()
    model.eval()
    with torch.no_grad():
        return model(x)


def remembers_at_once(x):
    model = Net().eval()
    with torch.no_grad():
        return model(x)


def same_in_both_modes(x):
    model = Plain()
    with torch.no_grad():
        return model(x)


def somebody_else_may(x):
    model = Net()
    prepare(model)
    with torch.no_grad():
        return model(x)


def given(model, x):
    with torch.no_grad():
        return model(x)


def shapes():
    model = Net()
    x = torch.zeros(1, 2)
    with torch.no_grad():
        return model(x).shape


def with_gradients(x):
    model = Net()
    return model(x)


def mc_samples(x):
    model = Net()
    with torch.no_grad():
        return [model(x) for _ in range(10)]


def train(batches):
    generator, critic = Net(), Net()
    teacher = Net()
    for x in batches:
        with torch.no_grad():
            y = teacher(x)
        critic(y).backward()


everywhere = Net()


@torch.no_grad()
def predict(x):
    return everywhere(x)  #!


def compiled(x):
    model = torch.compile(Net())
    with torch.no_grad():
        return model(x)  #!


def parallel(x):
    model = nn.DataParallel(Net()).cuda()
    with torch.inference_mode():
        return model(x)  #!


def step_by_step(x):
    model = Net()
    model = nn.DataParallel(model)
    model = model.to("cuda")
    with torch.no_grad():
        return model(x)  #!


def by_another_name(x):
    net = Net()
    fast = torch.compile(net)
    with torch.no_grad():
        return fast(x)  #!


def two_at_once(x):
    first, second = Net(), Plain()
    with torch.no_grad():
        return first(second(x))  #!


def in_a_chain(x):
    model = Net()
    model.to("cuda").half()
    with torch.no_grad():
        return model.to("cuda")(x)  #!


def by_its_forward(x):
    model = Net()
    with torch.no_grad():
        return model.forward(x)  #!


def gradients_off(x):
    torch.set_grad_enabled(False)
    model = Net()
    return model(x)  #!


def gradients_off_in_a_with(x):
    model: nn.Module = Net()
    with torch.set_grad_enabled(False):
        return model(x)  #!


def gradients_on(x):
    model = Net()
    with torch.set_grad_enabled(True):
        model(x)
    with torch.inference_mode(False):
        model(x)
    with torch.no_grad(), torch.enable_grad():
        return model(x)


def loops(x):
    model = Net()
    for module in model.modules():
        print(module)
    with torch.no_grad():
        for _ in range(3):
            model(x)
        for batch in x:
            model(batch)  #!


class Service:
    def __init__(self):
        self.model = Net()
        self.model.load_state_dict(torch.load("net.pt"))

    @torch.no_grad()
    def predict(self, x):
        return self.model(x)  #!


class LateService(Service):
    def __init__(self):
        net = Net().cuda()
        self.net = net

    def predict(self, x):
        with torch.inference_mode():
            return self.net(x)  #!


def load(path):
    model = Net()
    model.load_state_dict(torch.load(path))
    return model.cuda()


def load_carefully(path):
    model = Net()
    model.eval()
    return model


def load_either(path, twice):
    return load(path) if twice else load_carefully(path)


class Loads:
    def __init__(self):
        self.loaded = self._load("net.pt")
        self.safe = load_carefully("net.pt")
        self.either = load_either("net.pt", False)

    def _load(self, path):
        return load(path)

    @torch.no_grad()
    def predict(self, x):
        x = self.safe(self.either(x))
        return self.loaded(x)  #!


loaded = load("net.pt")
with torch.no_grad():
    loaded(torch.load("x.pt"))  #!


class Careful:
    def __init__(self):
        self.careful = Net()
        self.careful.to("cuda").eval()

    @torch.no_grad()
    def predict(self, x):
        return self.careful(x)


class Unknown(Base):
    def __init__(self):
        self.unknown = Net()

    @torch.no_grad()
    def predict(self, x):
        return self.unknown(x)


service_model = None


def startup():
    global service_model
    service_model = Net()


@torch.no_grad()
def serve(x):
    return service_model(x)  #!
""",
    "THN106": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)


def exports(x):
    model = Net()
    torch.onnx.export(model, x, "net.onnx")  #!


def traces(x):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    return torch.jit.trace(model, x)  #!


def on_purpose(model, x):
    torch.onnx.export(model, x, "net.onnx", training=torch.onnx.TrainingMode.TRAINING)  #!


def exports_a_copy_on_the_cpu(x):
    model = Net()
    model.cuda()
    torch.onnx.export(model.cpu(), x, "net.onnx")  #!


def in_a_chain(x):
    model = Net()
    model.cpu().eval()
    torch.onnx.export(model, x, "net.onnx")


def told_by_the_exporter(x):
    model = Net()
    torch.onnx.export(model, x, "net.onnx", training=torch.onnx.TrainingMode.EVAL)


def by_the_old_exporter(x):
    model = Net()
    torch.onnx.export(model, x, "net.onnx", dynamo=False)


def in_order(x):
    model = Net()
    model.eval()
    return torch.export.export(model, (x,))


def given(model, x):
    return torch.jit.trace(model, x)
""",
    "THN110": """
def classic(model, optimizer, batches):
    model.train()
    for epoch in range(10):
        for x in batches:
            model(x).sum().backward()
            optimizer.step()
        model.eval()  #!
        with torch.no_grad():
            print(model(x))


def in_between(model, optimizer, batches):
    for epoch in range(10):
        model.train()
        for step, x in enumerate(batches):
            loss = model(x).sum()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                model.train(False)  #!
                print(model(x))


@torch.no_grad()
def validate(net, x):
    net.eval()  #!
    return net(x)


def learn(model, x, optimizer):
    loss = model(x).sum()
    loss.backward()
    optimizer.step()


def by_functions(batches):
    model = Base()
    optimizer = torch.optim.Adam(model.parameters())
    model.train()
    for x in batches:
        learn(model, x, optimizer)
        validate(model, x)


class Trainer:
    def __init__(self, model):
        self.model = model

    def validate(self, x):
        self.model.eval()  #!
        with torch.no_grad():
            return self.model(x)

    def step(self, x):
        self.model(x).sum().backward()
        self.optimizer.step()

    def fit(self, batches):
        self.model.train()
        while self.more():
            for x in batches:
                self.step(x)
            self.validate(x)


class Itself(nn.Module):
    def fit(self, batches, optimizer):
        for x in batches:
            self(x).sum().backward()
            optimizer.step()
            self.eval()  #!


def restored(net, x):
    was = net.training
    net.eval()
    y = net(x)
    net.train(was)
    return y


def in_order(model, optimizer, batches):
    for x in batches:
        model(x).sum().backward()
        optimizer.step()
        print(restored(model, x))


def elsewhere(model, optimizer, batches):
    for x in batches:
        step(model, x).backward()
        optimizer.step()
        model.eval()


def anew(batches, folds):
    for fold in folds:
        model = Base()
        optimizer = torch.optim.Adam(model.parameters())
        for x in batches:
            model(x).sum().backward()
            optimizer.step()
        model.eval()
        print(model(x))


def teacher(student, teacher, optimizer, batches):
    for x in batches:
        teacher.eval()
        with torch.no_grad():
            y = teacher(x)
        F.mse_loss(student(x), y).backward()
        optimizer.step()


def meant(model, optimizer, batches):
    for x in batches:
        model.eval()
        model(x).sum().backward()
        optimizer.step()


def meant_by_an_option(model, optimizer, batches, frozen):
    for x in batches:
        if frozen:
            model.eval()
        model(x).sum().backward()
        optimizer.step()


def evaluated_first(model, optimizer, batches):
    for step, x in enumerate(batches):
        if step % 100 == 0:
            model.eval()  #!
            print(model(x))
        model(x).sum().backward()
        optimizer.step()


def one_part(model, optimizer, batches):
    for x in batches:
        model(x).sum().backward()
        optimizer.step()
        model.norm.eval()


def the_end(model, optimizer, batches):
    for x in batches:
        model(x).sum().backward()
        optimizer.step()
        if x is None:
            model.eval()
            return model


def an_attack(model, batches):
    for x in batches:
        model.eval()
        model(x).sum().backward()


def after_the_loop(model, optimizer, batches):
    for x in batches:
        model(x).sum().backward()
        optimizer.step()
    model.eval()
    return validate(model, x)
""",
    "THN304": """
a = nn.LSTM(8, 8, dropout=0.5)  #!
b = nn.GRU(8, 8, 1, True, False, 0.5)  #!
c = nn.RNN(8, 8, num_layers=1, dropout=0.1)  #!
d = nn.LSTM(8, 8, 2, dropout=0.5)
e = nn.LSTM(8, 8, dropout=0)
f = nn.LSTM(8, 8, num_layers=layers, dropout=0.5)
g = nn.LSTM(8, 8, dropout=p)
h = nn.LSTM(8, 8, **options)
i = thinned.nn.LSTM(8, 8, dropout=0.5)
""",
    "THN401": """
a = nn.Dropout(1.0)  #!
b = nn.Dropout(p=0)  #!
c = nn.Dropout(p)
d = nn.Dropout(0.5)
e = nn.Dropout()
f = F.dropout(x, 1, training=training)  #!
g = F.dropout(x, 0.0, training=training)
""",
    "THN402": """
a = nn.Dropout(0.9)  #!
b = F.dropout(x, p=0.85, training=training)  #!
c = nn.Dropout(0.8)
d = nn.LSTM(8, 8, 2, dropout=0.95)  #!
e = nn.BatchNorm1d(0.9)
""",
    "THN404": """
a = nn.Dropout(keep_prob)  #!
b = nn.Dropout(p=config.keep_prob)  #!
c = nn.Dropout(1 - drop_rate)  #!
d = nn.Dropout(1.0 - self.dropout)  #!
e = nn.Dropout(1 - keep_prob)
f = nn.Dropout(1 - p)
g = nn.Dropout(drop_rate)
h = nn.Dropout(housekeeping)
i = nn.Dropout(keeper.p)
""",
    "THN601": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = thinned.nn.Dropout(0.5)
        self.other = Base()

    def forward(self, x, key):
        x = self.dropout(x, key=7)  #!
        x = thinned.nn.functional.dropout(x, 0.5, key=7)  #!
        x = self.other(x, key=7)
        return self.dropout(x, key=key)


y = thinned.nn.functional.dropout(x, 0.5, key=7)
""",
    "THN602": """
class Net(nn.Module):
    def forward(self, x):
        torch.manual_seed(0)  #!
        torch.cuda.manual_seed_all(0)  #!
        with torch.random.fork_rng():
            torch.manual_seed(0)
        if self.training:
            torch.manual_seed(0)  #!
            with torch.random.fork_rng():
                torch.manual_seed(0)
        else:
            torch.manual_seed(0)
        if not self.training:
            torch.manual_seed(0)
        elif x.requires_grad:
            torch.manual_seed(0)  #!
        if self.training and self.p > 0:
            torch.manual_seed(0)  #!
        if self.deterministic:
            torch.manual_seed(0)
        if self.training and self.deterministic:
            torch.manual_seed(0)
        if self.p > 0:
            torch.manual_seed(0)  #!
        return x

    def forward_twice(self, x):
        if not self.training:
            return x
        torch.manual_seed(0)  #!
        return x

    def forward_loud(self, x):
        if self.training:
            torch.manual_seed(0)  #!
            return self.dropout(x)
        return x

    def forward_named(self, x):
        told = self.training
        if told:
            torch.manual_seed(0)
            return self.dropout(x)
        return x

    def forward_fast(self, x):
        if self.training:
            return x
        torch.manual_seed(0)
        return x

    def reset(self):
        torch.manual_seed(0)


torch.manual_seed(0)
""",
    "THN112": """
import keras
import tensorflow as tf
from flax import linen, nnx
from keras.layers import Dropout


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.drop = keras.layers.Dropout(0.2)

    def call(self, x, training=False):
        x = self.drop(x, training=True)  #!
        x = tf.nn.dropout(x, rate=0.5)  #!
        x = keras.random.dropout(x, 0.5, seed=self.seed)  #!
        return self.drop(x, training=training)

    def other(self, x):
        return tf.nn.dropout(x, rate=0.5)


class Asks(keras.layers.Layer):
    def call(self, x, training=False):
        if training:
            x = tf.nn.dropout(x, rate=0.5)
        return tf.nn.dropout(x, rate=0.5 if training else 0.0)


class MCDropout(keras.layers.Dropout):
    def call(self, x, training=False):
        return tf.nn.dropout(x, self.rate)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.Dropout(0.5, deterministic=False)(x)  #!
        x = linen.Dropout(0.5)(x, deterministic=False)  #!
        return linen.Dropout(0.5, deterministic=not train)(x)


class Setup(linen.Module):
    train: bool

    def setup(self):
        self.drop = linen.Dropout(0.5)
        self.told = linen.Dropout(0.5, deterministic=not self.train)

    def __call__(self, x):
        return self.told(self.drop(x, deterministic=False))  #!


class OfNnx(nnx.Module):
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.5, deterministic=False, rngs=rngs)

    def __call__(self, x):
        return self.drop(self.drop(x), deterministic=False)  #!


def build(inputs):
    x = Dropout(0.5)(inputs, training=True)  #!
    x = Dropout(0.0)(x, training=True)
    return Dropout(0.5)(x, training=None)


def build_mc(inputs):
    return Dropout(0.5)(inputs, training=True)
""",
    "THN113": """
import keras
import tensorflow as tf

model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])
plain = keras.Sequential([keras.layers.Dense(4)])


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop = keras.layers.Dropout(0.5)


own = Own()
with tf.GradientTape() as tape:
    a = model(x)  #!
    b = own(x)  #!
    a = model(x, training=True)
    a = model(x, True)
    c = plain(x)
    d = model(x, **settings)
model(x)
""",
    "THN114": """
import keras
from flax import linen, nnx


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.drop, self.other = keras.layers.Dropout(0.2), 3
        self.a = keras.layers.Dropout(0.2)
        self.b = keras.layers.Dropout(0.2)
        self.c = keras.layers.Dropout(0.2)
        self.none = keras.layers.Dropout(0.0)

    def call(self, x, training=None):
        x = self.a(x, training=False)  #!
        x = self.b(x, False)  #!
        x = self.none(x, training=False)
        return self.c(self.c(x, training=False))

    def encode(self, x):
        return self.c(x, training=False)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.Dropout(0.5, deterministic=True)(x)  #!
        x = linen.Dropout(0.5)(x, deterministic=True)  #!
        x = linen.Dropout(0.5)(x, True)  #!
        return linen.Dropout(0.5, deterministic=not train)(x)


class OfNnx(nnx.Module):
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.5, deterministic=True, rngs=rngs)
        self.other = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.other(self.drop(x), deterministic=True)  #!


class ExportedNet(OfNnx):
    def __call__(self, x):
        return nnx.Dropout(0.5)(x, deterministic=True)


def build(inputs):
    return keras.layers.Dropout(0.5)(inputs, training=False)  #!


def build_for_inference(inputs):
    return keras.layers.Dropout(0.5)(inputs, training=False)
""",
    "THN115": """
from flax import nnx


class Net(nnx.Module):
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.drop(x)


class Plain(nnx.Module):
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.0, rngs=rngs)


net = Net(nnx.Rngs(0))
plain = Plain(nnx.Rngs(0))


@nnx.jit
def eval_step(model, x):
    return model(x)  #!


def predict(x):
    return net(x) + plain(x)  #!


def test_of_something_else(model, x):
    return model(x)


def train_step(model, x):
    return model(x)


eval_step(net, x=3), train_step(net, 3)
""",
    "THN116": """
import keras
import tf_keras
from tensorflow.keras import Model
from tensorflow.keras.layers import LSTM, Dense, Dropout


class Inner(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.drop = Dropout(0.5)

    def call(self, x):
        return self.drop(x)


class Net(Model):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def call(self, x):  #!
        return self.inner(x)


class Recurrent(keras.Model):
    def __init__(self):
        super().__init__()
        self.lstm = LSTM(3, dropout=0.1)

    def call(self, inputs, mask=None):  #!
        return self.lstm(inputs)


class Plain(keras.Model):
    def call(self, x):
        return Dense(3)(x)


class Told(Net):
    def call(self, x, training=None):
        return self.inner(x)


class Open(Net):
    def call(self, x, **words):
        return self.inner(x)


class OwnStep(Net):
    def train_step(self, data):
        return self(data, training=True)


class Old(tf_keras.Model):
    def call(self, x):
        return tf_keras.layers.Dropout(0.5)(x)


class NotTrained(Net):
    pass


net = Net()
recurrent = Recurrent()
plain = Plain()
told = Told()
openly = Open()
own = OwnStep()
old = Old()
net.fit(x), recurrent.compile("adam"), plain.fit(x), told.fit(x), openly.fit(x), own.fit(x), old.fit(x)
""",
    "THN207": """
import keras
from tensorflow.keras.layers import Dense, Dropout, Softmax

net = keras.Sequential()
net.add(Dense(64, activation="relu"))
net.add(Dense(10))
net.add(Dropout(0.5))  #!
net.compile("adam")
keras.Sequential([Dense(10, activation="softmax"), Dropout(0.1)])  #!
keras.Sequential([Dense(10), Dropout(0.1), Softmax()])  #!
part = keras.Sequential([Dense(10), Dropout(0.1)])
hidden = keras.Sequential([Dense(10), keras.layers.ReLU(), Dropout(0.1)])
hidden.compile("adam")
off = keras.Sequential([Dense(10, activation="softmax"), Dropout(0.0)])
branch = keras.Sequential([Dense(10), Dropout(0.1)])
for _ in range(3):
    branch.add(Dense(3))
branch.compile("adam")
""",
    "THN208": """
import keras
from keras import layers
from thinned.interop.keras import Dropout

keras.Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Flatten(), Dropout(0.5)])  #!
keras.Sequential([layers.Dropout(0.5), layers.ReLU(), layers.Dropout(0.5)])
keras.Sequential([layers.Dropout(0.5), layers.SpatialDropout1D(0.5)])


def build(x):
    x = layers.Dropout(0.1)(x)
    y = layers.GaussianDropout(0.1)(x)  #!
    x = layers.Dense(4)(x)
    x = unknown(x)
    return layers.Dropout(0.1)(x), y
""",
    "THN308": """
from flax import linen as nn, nnx

nn.MultiHeadDotProductAttention(num_heads=4, dropout_rate=0.1)  #!
nn.SelfAttention(num_heads=4, dropout_rate=rate, broadcast_dropout=True)  #!
nnx.MultiHeadAttention(4, 8, dropout_rate=0.1, rngs=rngs)  #!
nnx.MultiHeadAttention(4, 8, dropout_rate=0.1, broadcast_dropout=False, rngs=rngs)
nnx.MultiHeadAttention(4, 8, rngs=rngs)
nn.MultiHeadDotProductAttention(num_heads=4, dropout_rate=0.0)
nn.MultiHeadDotProductAttention(num_heads=4, dropout_rate=0.1, **settings)
""",
    "THN406": """
import tensorflow as tf
from tensorflow.keras.layers import GRU, LSTM, LSTMCell

LSTM(8, recurrent_dropout=1.0)  #!
GRU(8, dropout=1)  #!
LSTMCell(8, dropout=50)  #!
tf.keras.layers.SimpleRNN(8, dropout=2.0)  #!
LSTM(8, dropout=0.5, recurrent_dropout=rate)
nn.LSTM(8, 8, dropout=1.0)
""",
    "THN504": """
import keras
from keras.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout

keras.Sequential([Dense(4), Dropout(0.5), BatchNormalization()])  #!
keras.Sequential([Dense(4), BatchNormalization(), Dropout(0.5), Dense(4), BatchNormalization()])
net = keras.models.Sequential()
net.add(Conv2D(4, 3))
net.add(Dropout(0.5))  #!
net.add(Activation("relu"))
net.add(BatchNormalization())


def build(x):
    x = Dropout(0.5)(Dense(4)(x))  #!
    return BatchNormalization()(x)
""",
    "THN603": """
import jax
from jax import random
from thinned.interop.jax import dropout


def twice(key, x):
    x = x + random.normal(key, x.shape)
    y = dropout(x, 0.5, key)  #!
    key, sub = random.split(key)
    return y + random.normal(key, x.shape) + random.normal(sub, x.shape)


def branches(key, x, flag):
    if flag:
        return random.normal(key, x.shape)
    elif x is None:
        y = random.normal(key, (3,))
    else:
        y = random.uniform(key, (3,))
    return y


def loop(key, x, n):
    for step in range(n):
        x = x + random.normal(key, x.shape)  #!
    for step in range(n):
        sub = random.fold_in(key, step)
        x = x + random.normal(sub, x.shape)
    for sub in random.split(random.key(0), n):
        x = x + random.normal(sub, x.shape)
    return [random.normal(sub, x.shape) for sub in random.split(key, n)]


def keyword(key):
    a = jax.random.normal(key=key, shape=(3,))
    b = jax.random.bernoulli(shape=(3,), key=key)  #!
    return a, b
""",
}


@pytest.mark.parametrize("code", CASES)
def test_what_is_found(code: str) -> None:
    text = HEAD + CASES[code]
    expected = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("#!")]
    found = check_text("case.py", text, [rules()[code]])
    assert sorted({finding.line for finding in found}) == expected
    assert {finding.code for finding in found} == {code}


def test_every_source_rule_has_cases() -> None:
    assert set(CASES) == {code for code, rule in rules().items() if rule.source is not None}


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("import torch", "torch.nn.functional.dropout(x)"),
        ("import torch.nn as nn", "nn.functional.dropout(x)"),
        ("from torch import nn", "nn.functional.dropout(x)"),
        ("from torch.nn import functional", "functional.dropout(x)"),
        ("import torch.nn.functional as G", "G.dropout(x)"),
        ("from torch.nn.functional import dropout", "dropout(x)"),
        ("import torch\nH = torch.nn.functional", "H.dropout(x)"),
        ("try:\n    import torch.nn.functional as F\nexcept ImportError:\n    F = None", "F.dropout(x)"),
    ],
)
def test_a_function_is_known_by_all_its_names(imports: str, call: str) -> None:
    text = (
        f"{imports}\nimport torch.nn\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return {call}\n"
    )
    assert [finding.code for finding in check_text("net.py", text, rules().values())] == ["THN101"]


def test_other_libraries_functions_of_the_same_name_are_not_meant() -> None:
    text = (
        "from jax import F\nfrom torch import nn\nclass N(nn.Module):\n def forward(self, x):\n  return F.dropout(x)\n"
    )
    assert check_text("net.py", text, rules().values()) == []
