"""A check costs as much as the file is long: calls of functions are counted, for files of one form and two lengths.

And a file is free when it is done: no circle of references keeps it.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from thinned.model.check.fix import fixed
from thinned.model.check.lens.source_file import SourceFile
from thinned.model.check.registry import ENTRIES, rule
from thinned.model.check.rule import Rule
from thinned.model.check.walk import check_source, check_text

RULES = [rule(entry.code) for entry in ENTRIES if "source" in entry.looks_at]
HEAD = """\
import torch
import torch.nn.functional as F
from functools import partial
from torch import nn

"""
NET = "class Net(nn.Module):\n    def __init__(self):\n        self.p = 0.1\n\n    def forward(self, x):\n"
SHORT, LONG = 10, 60


def forward(line: str) -> Callable[[int], str]:
    """A forward with a line, or a few, so many times."""
    lines = line.splitlines()

    def text(times: int) -> str:
        body = "".join(f"        {each.format(i=number)}\n" for number in range(times) for each in lines)
        return HEAD + NET + body

    return text


def file(each: str, after: str = "") -> Callable[[int], str]:
    """A file with a few lines so many times, and then others."""
    return lambda times: HEAD + "".join(each.format(i=number, j=number + 1) for number in range(times)) + after


BLOCK = """\
class B{i}(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return F.dropout(self.dropout(x), 0.1, training=self.training)
"""
STEP = (
    "def train(model, opt):\n    for x in data:\n        loss = model(x)\n        loss.backward()\n        opt.step()\n"
)
KERAS = """\
import tensorflow as tf
from keras import Model, Sequential, layers

class Net(Model):
    def __init__(self):
        self.d = layers.Dropout(0.5)

    def call(self, x, training=None):
"""
FLAX = """\
import flax.linen as nn

class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
"""
JAX = "import jax\n\ndef noise(x, key):\n"
WITH = "with torch.no_grad():\n    y = {model}(z)\n"
FORMS: dict[str, Callable[[int], str]] = {
    "dropouts in a row": forward("x = F.dropout(x, 0.5)"),
    "that follow the mode": forward("x = F.dropout(x, 0.5, training=self.training)"),
    "by a method of the mode": forward("x = F.dropout(x, 0.5, training=self.train)"),
    "under branches": forward("if self.training: x = F.dropout(x, 0.5)"),
    "behind branches that leave": forward("if flag{i}: return x\nx = F.dropout(x, 0.5)"),
    "on one line": lambda times: forward("; ".join(["x = F.dropout(x, 'ü')"] * times))(1),
    "in one expression": lambda times: forward(f"return [{', '.join(['F.dropout(x)'] * times)}]")(1),
    "in one choice": lambda times: forward(f"return ({' or '.join(['F.dropout(x)'] * times)})")(1),
    "in functions": forward("def drop{i}(y): return F.dropout(y)\nx = drop{i}(x)"),
    "in lambdas": forward("x = (lambda y: F.dropout(y))(x)"),
    "under other names": forward("drop = F.dropout\nx = drop(x, 0.5)"),
    "with p in a dictionary": forward("kw = dict(p=0.5)\nx = F.dropout(x, **kw)"),
    "with p in a name": forward("p = 0.1\nx = F.dropout(x, p)"),
    "in loops over one list that grows": forward("fs.append(F.dropout)\nfor f in fs: x = f(x, 0.5)"),
    "in loops by many names": forward("fs.append(F.dropout)\nfor f{i} in fs: x = f{i}(x, 0.5)"),
    "in one entry": forward("d = {{}}\nd['k'] = F.dropout\nx = d['k'](x, 0.5)"),
    "with arguments in one dictionary": forward("d = {{}}\nd['p'] = 0.5\nx = F.dropout(x, **d)"),
    "in attention": forward("x = F.scaled_dot_product_attention(x, x, x, dropout_p=self.p)"),
    "built in a forward": forward("x = nn.Dropout(0.5)(x)"),
    "silenced": forward("x = F.dropout(x, 0.5)  # noqa: THN101"),
    "seeds": forward("if not self.training: return x\ntorch.manual_seed(0)"),
    "nothing of ours": forward("x = torch.relu(x) + {i}"),
    "methods": lambda times: (
        HEAD
        + "class Net(nn.Module):\n"
        + "".join(
            f"    def m{number}(self, x):\n        return F.dropout(self.m{number + 1}(x))\n" for number in range(times)
        )
    ),
    "classes": file("class N{i}(nn.Module):\n    def drop(self, x):\n        return F.dropout(x)\n"),
    "whole classes": file(BLOCK),
    "whole classes that are built": file(f"{BLOCK}b{{i}} = B{{i}}()\n"),
    "classes that forwards build": file(
        "class N{i}(nn.Module):\n    def __init__(self):\n        self.d = nn.Dropout(0.1)\n"
        "    def forward(self, x):\n        return N{j}()(x)\n",
    ),
    "methods of one name that build": file(
        "class N{i}(nn.Module):\n    def make(self):\n        return nn.Dropout(0.5)\n"
        "    def forward(self, x):\n        return self.make()(x)\n"
    ),
    "classes of classes": file(
        "class N{j}(N{i}):\n    def forward(self, x):\n        return F.dropout(x)\n", "class N0(nn.Module): ...\n"
    ),
    "models": file("m{i} = nn.Sequential(nn.Dropout(0.5))\n" + WITH.format(model="m{i}")),
    "runs of a model": file(WITH.format(model="net"), "net = nn.Sequential(nn.Dropout(0.5))\n"),
    "exports of a model": file("torch.export.export(net, z)\n", "net = nn.Sequential(nn.Dropout(0.5))\n"),
    "gradients switched": file("torch.set_grad_enabled(False)\ny = net(z)\n", "net = nn.Sequential(nn.Dropout(0.5))\n"),
    "evaluations in a loop": lambda times: HEAD + STEP + "        model.eval()\n" * times,
    "loops": file(STEP.replace("train", "train{i}") + "        model.eval()\n"),
    "evaluations by functions": lambda times: (
        HEAD
        + "".join(f"def look{number}(model):\n    model.eval()\n" for number in range(times))
        + STEP
        + "".join(f"        look{number}(model)\n" for number in range(times))
    ),
    "layers of Keras": lambda times: KERAS + "        x = self.d(x, training=training)\n" * times,
    "layers of Keras, always on": lambda times: KERAS + "        x = self.d(x, training=True)\n" * times,
    "layers of Keras, built at once": lambda times: (
        KERAS + "        x = layers.Dense(4)(layers.Dropout(0.5)(x))\n" * times
    ),
    "models of Keras": lambda times: (
        KERAS + "".join(
            f"        m{number} = Sequential([layers.Dense(4), layers.Dropout(0.5)])\n        m{number}.fit(x)\n"
            for number in range(times)
        )
    ),
    "models of Keras that grow": lambda times: (
        KERAS + "".join(
            f"        m{number} = Sequential()\n        m{number}.add(layers.Dense(4))\n"
            f"        m{number}.add(layers.Dropout(0.5))\n"
            for number in range(times)
        )
    ),
    "a model of Keras that grows": lambda times: (
        KERAS + "        m = Sequential()\n" + "        m.add(layers.Dropout(0.5))\n" * times
    ),
    "models of Keras under a tape": lambda times: (
        KERAS + "        pass\n" + "".join(
            f"m{number} = Net()\nwith tf.GradientTape() as tape:\n    y = m{number}(z)\n" for number in range(times)
        )
    ),
    "dropouts of TensorFlow": lambda times: KERAS + "        x = tf.nn.dropout(x, 0.5)\n" * times,
    "dropouts of TensorFlow under branches": lambda times: (
        KERAS + "        if flag: x = tf.nn.dropout(x, 0.5)\n" * times
    ),
    "dropouts of Flax": lambda times: FLAX + "        x = nn.Dropout(0.5)(x, deterministic=False)\n" * times,
    "dropouts of Flax that follow": lambda times: (
        FLAX + "        x = nn.Dropout(0.5)(x, deterministic=not train)\n" * times
    ),
    "draws of JAX": lambda times: JAX + "    x = jax.random.normal(key, x.shape)\n" * times,
    "draws of JAX in a loop": lambda times: (
        JAX + "    for row in x:\n" + "".join(
            f"        x = jax.random.normal(k{number}, x.shape)\n" for number in range(times)
        )
    ),
    "loops of JAX": lambda times: (
        JAX + (
            "    for row in x:\n        key, new = jax.random.split(key)\n"
            "        x = jax.random.normal(new, x.shape)\n"
        ) * times
    ),
    "loops of JAX in loops": lambda times: (  # side by side: Python has at most twenty in one another
        JAX + (
            "    for row in x:\n        for cell in row:\n            for part in cell:\n"
            "                x = x + jax.random.normal(key, x.shape)\n"
        ) * times
    ),
}  # fmt: skip


def counted(work: Callable[[str, str, list[Rule]], object], text: str) -> int:
    """How many functions are called and generators go on, those of C included."""
    count = 0

    def seen(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work("net.py", text, RULES)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("form", FORMS)
def test_a_check_is_linear(form: str) -> None:
    make = FORMS[form]
    check_text("net.py", make(2), RULES)  # what is loaded at the first time
    short, long = (counted(check_text, make(times)) for times in (SHORT, LONG))
    assert long <= 1.15 * LONG / SHORT * short


def steps(text: str, rules: list[Rule] = RULES) -> int:
    """How many steps Python makes in a check: rounds of a loop that calls nothing are among them."""
    count = 0

    def traced(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        check_text("net.py", text, rules)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_each_further_stretch_of_a_file_costs_what_the_one_before_did(form: str) -> None:
    make = FORMS[form]
    check_text("net.py", make(2), RULES)
    short, middle, long = (steps(make(times)) for times in (SHORT, (SHORT + LONG) // 2, LONG))
    assert long - middle <= 1.1 * (middle - short)


@pytest.mark.long
@pytest.mark.parametrize("chosen", RULES, ids=[chosen.code for chosen in RULES])
def test_so_does_each_rule_alone_on_whole_classes(chosen: Rule) -> None:
    """Beside the others' steps those of one rule would be too few to be seen."""
    make = FORMS["whole classes"]
    check_text("net.py", make(2), [chosen])
    short, middle, long = (steps(make(times), [chosen]) for times in (20, 60, 100))
    assert long - middle <= 1.02 * (middle - short)


def test_a_key_is_followed_through_loops_in_loops() -> None:
    loops = "".join(f"{' ' * (depth + 1)}for row in x:\n" for depth in range(40))
    text = f"import jax\n\ndef noise(x, key):\n{loops}{' ' * 41}x = x + jax.random.normal(key, x.shape)\n"
    assert [(found.code, found.line) for found in check_text("net.py", text, RULES)] == [("THN603", 44)]


@pytest.mark.parametrize("form", ["dropouts in a row", "by a method of the mode", "on one line", "in attention"])
def test_fixes_are_linear(form: str) -> None:
    make = FORMS[form]
    assert fixed("net.py", make(2), RULES)[1] == 2
    short, long = (counted(fixed, make(times)) for times in (SHORT, LONG))
    assert long <= 1.15 * LONG / SHORT * short


@pytest.mark.parametrize("chosen", RULES, ids=[chosen.code for chosen in RULES])
def test_a_file_is_free_when_it_is_done(chosen: Rule) -> None:
    file = SourceFile("net.py", chosen.bad)
    kept, collects = weakref.ref(file), gc.isenabled()
    gc.disable()
    try:
        assert check_source(file, RULES)
        del file
        assert kept() is None
    finally:
        if collects:
            gc.enable()
