"""`thinned.inspect` finds every kind of place that draws noise, on models as they are."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich.console
import torch
import torch.nn.functional as F
from scipy.stats import binom
from torch import Tensor, nn

import thinned
import thinned.nn


class Run(nn.Module):
    """A model that is one function of its input and itself."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def attention(x: Tensor, p: float) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, dropout_p=p)


def cleared(x: Tensor) -> Tensor:
    x = x.clone()
    x[torch.rand_like(x) < 0.3] = 0.0
    return x


MAP = (8, 16, 5, 5)
SEQUENCE = (8, 20, 16)
# What runs, on what, and the place: its name, kind, p, the shape that noise acts on and the axes that share a draw.
KINDS: dict[str, tuple[nn.Module, tuple[int, ...], tuple[Any, ...]]] = {
    "Dropout": (nn.Sequential(nn.Dropout(0.3)), SEQUENCE, ("0", "Dropout", 0.3, SEQUENCE, ())),
    "Dropout1d": (nn.Sequential(nn.Dropout1d(0.3)), SEQUENCE, ("0", "Dropout1d", 0.3, SEQUENCE, (2,))),
    "Dropout2d": (nn.Sequential(nn.Dropout2d(0.3)), MAP, ("0", "Dropout2d", 0.3, MAP, (2, 3))),
    "Dropout3d": (nn.Sequential(nn.Dropout3d(0.3)), (*MAP, 3), ("0", "Dropout3d", 0.3, (*MAP, 3), (2, 3, 4))),
    "AlphaDropout": (nn.Sequential(nn.AlphaDropout(0.3)), SEQUENCE, ("0", "AlphaDropout", 0.3, SEQUENCE, ())),
    "FeatureAlphaDropout": (
        nn.Sequential(nn.FeatureAlphaDropout(0.3)),
        MAP,
        ("0", "FeatureAlphaDropout", 0.3, MAP, (2, 3)),
    ),
    "F.dropout": (
        Run(lambda m, x: F.dropout(x, 0.3, m.training)),
        SEQUENCE,
        (":dropout", "dropout", 0.3, SEQUENCE, ()),
    ),
    "torch.dropout": (
        Run(lambda m, x: torch.dropout(x, 0.3, m.training)),
        SEQUENCE,
        (":dropout", "dropout", 0.3, SEQUENCE, ()),
    ),
    "F.dropout2d": (
        Run(lambda m, x: F.dropout2d(x, 0.3, m.training)),
        MAP,
        (":dropout2d", "dropout2d", 0.3, MAP, (2, 3)),
    ),
    "F.alpha_dropout": (
        Run(lambda m, x: F.alpha_dropout(x, 0.3, m.training)),
        SEQUENCE,
        (":alpha_dropout", "alpha_dropout", 0.3, SEQUENCE, ()),
    ),
    "attention": (
        Run(lambda m, x: attention(x, 0.3 * m.training)),
        SEQUENCE,
        (":scaled_dot_product_attention", "scaled_dot_product_attention", 0.3, (8, 20, 20), ()),
    ),
    "MultiheadAttention": (
        Run(lambda m, x: m.attend(x, x, x)[0], attend=nn.MultiheadAttention(16, 2, dropout=0.3, batch_first=True)),
        SEQUENCE,
        ("attend", "MultiheadAttention", 0.3, (16, 20, 20), ()),
    ),
    "LSTM": (
        Run(lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(16, 16, 2, dropout=0.3, batch_first=True)),
        SEQUENCE,
        ("lstm", "LSTM", 0.3, (20, 8, 16), ()),
    ),
    "GRU": (
        Run(lambda m, x: m.gru(x)[0], gru=nn.GRU(16, 16, 2, dropout=0.3)),
        SEQUENCE,
        ("gru", "GRU", 0.3, (8, 20, 16), ()),
    ),
    "RNN, packed": (
        Run(
            lambda m, x: m.rnn(nn.utils.rnn.pack_padded_sequence(x, [20] * 8, batch_first=True))[0].data,
            rnn=nn.RNN(16, 16, 2, dropout=0.3),
        ),
        SEQUENCE,
        ("rnn", "RNN", 0.3, (160, 16), ()),
    ),
    "rand > p": (
        Run(lambda m, x: x * (torch.rand(8, 1, 16) > 0.3) / 0.7 if m.training else x),
        SEQUENCE,
        (":rand", "rand", 0.3, SEQUENCE, (1,)),
    ),
    "rand_like < p, masked_fill": (
        Run(lambda m, x: x.masked_fill(torch.rand_like(x) < 0.3, 0.0) if m.training else x),
        SEQUENCE,
        (":rand_like", "rand_like", 0.3, SEQUENCE, ()),
    ),
    "rand < p, x[mask] = 0": (
        Run(lambda m, x: cleared(x) if m.training else x),
        SEQUENCE,
        (":rand_like", "rand_like", 0.3, SEQUENCE, ()),
    ),
    "rand + q, floor": (
        Run(lambda m, x: x.div(0.7) * (torch.rand(8, 1, 1) + 0.7).floor() if m.training else x),
        SEQUENCE,
        (":rand", "rand", 0.3, SEQUENCE, (1, 2)),
    ),
    "bernoulli_": (
        Run(lambda m, x: x * x.new_empty(8, 1, 1).bernoulli_(0.7).div_(0.7) if m.training else x),
        SEQUENCE,
        (":bernoulli", "bernoulli", 0.3, SEQUENCE, (1, 2)),
    ),
    "torch.bernoulli": (
        Run(lambda m, x: torch.where(torch.bernoulli(torch.full(x.shape, 0.7)).bool(), x, 0.0) if m.training else x),
        SEQUENCE,
        (":bernoulli", "bernoulli", None, SEQUENCE, ()),
    ),
    "thinned Dropout": (
        nn.Sequential(thinned.nn.Dropout(0.3, broadcast_dims=(1,))),
        SEQUENCE,
        ("0", "Dropout", 0.3, SEQUENCE, (1,)),
    ),
    "thinned LockedDropout": (
        nn.Sequential(thinned.nn.LockedDropout(0.3)),
        SEQUENCE,
        ("0", "LockedDropout", 0.3, SEQUENCE, (0,)),
    ),
    "thinned AlphaDropout": (
        nn.Sequential(thinned.nn.AlphaDropout(0.3)),
        SEQUENCE,
        ("0", "AlphaDropout", 0.3, SEQUENCE, ()),
    ),
    "thinned StochasticDepth": (
        nn.Sequential(thinned.nn.StochasticDepth(0.3)),
        SEQUENCE,
        ("0", "StochasticDepth", 0.3, SEQUENCE, (1, 2)),
    ),
    "thinned dropout": (
        Run(lambda m, x: thinned.nn.functional.dropout(x, 0.25, m.training)),
        SEQUENCE,
        (":dropout", "dropout", 0.25, SEQUENCE, ()),
    ),
    "thinned LSTM": (
        Run(lambda m, x: m.lstm(x)[0], lstm=thinned.nn.LSTM(16, 16, dropout=0.3, batch_first=True)),
        SEQUENCE,
        ("lstm", "LSTM", 0.3, (20, 8, 16), (0,)),
    ),
    "thinned DropConnect": (
        thinned.nn.drop_connect(nn.Linear(16, 16), "weight", 0.3),
        SEQUENCE,
        ("_drop_connect_weight", "DropConnect", 0.3, (16, 16), ()),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_of_every_kind(kind: str) -> None:
    model, shape, (name, what, p, acted_on, shared) = KINDS[kind]
    inspection = thinned.inspect(model, torch.randn(shape))
    (place,) = inspection.places
    if name != "_drop_connect_weight":
        assert place.name == name
    assert (place.kind, place.shape, place.shared) == (what, acted_on, shared)
    assert place.p == pytest.approx(p, abs=1e-9)
    assert (place.train_calls, place.eval_calls, place.active, place.follows_mode) == (1, 0, "train", True)
    assert place.remark == ""
    assert place.share is not None
    assert 0.0 <= place.share <= 1.0
    # The measured rate rests on 256 units at least; a mask of fewer was drawn 8 times.
    units = 1
    for axis, size in enumerate(acted_on):
        units *= 1 if axis in shared else size
    units *= 1 if units >= 256 else min(8, -(-256 // units))
    assert place.measured is not None
    expected = 0.25 if p == 0.25 else 0.3
    low, high = (float(binom.ppf(tail, units, expected)) / units for tail in (1e-6, 1 - 1e-6))
    assert low <= place.measured <= high


def test_gaussian_noise_has_nothing_to_count() -> None:
    (place,) = thinned.inspect(nn.Sequential(thinned.nn.GaussianDropout(0.3)), torch.randn(8, 16)).places
    assert (place.kind, place.p, place.measured, place.active) == ("GaussianDropout", 0.3, None, "train")


def test_both_noises_of_a_recurrent_layer() -> None:
    net = Run(lambda m, x: m.rnn(x)[0], rnn=thinned.nn.GRU(8, 8, dropout=0.2, recurrent_dropout=0.4))
    places = {place.name: place for place in thinned.inspect(net, torch.randn(6, 40, 8)).places}
    assert {name: place.p for name, place in places.items()} == {"rnn": 0.2, "rnn.recurrent_dropout": 0.4}
    assert all(place.measured == pytest.approx(place.p, abs=0.12) for place in places.values())


def test_transformer_encoder_layer() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
    inspection = thinned.inspect(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(*SEQUENCE))
    expected = [
        f"layers.{layer}.{name}" for layer in (0, 1) for name in ("self_attn", "dropout1", "dropout", "dropout2")
    ]
    assert [place.name for place in inspection.places] == expected
    assert all(place.active == "train" and place.p == 0.1 for place in inspection.places)
    assert all(Path(place.file).name == "transformer.py" and place.line for place in inspection.places)


def test_the_line_of_the_call() -> None:
    here = Path(__file__)
    inspection = thinned.inspect(Run(lambda m, x: m.drop(F.dropout(x, 0.5)), drop=nn.Dropout(0.5)), torch.ones(4, 4))
    line = next(number for number, text in enumerate(here.read_text().splitlines(), 1) if "m.drop(F.dropout" in text)
    assert {(Path(place.file), place.line) for place in inspection.places} == {(here, line)}


def test_noise_in_evaluation_stands_out() -> None:
    net = Run(lambda m, x: attention(F.dropout(x, 0.1), 0.2) + torch.randn_like(x))
    inspection = thinned.inspect(net, torch.randn(*SEQUENCE))
    assert [place.kind for place in inspection.places] == ["dropout", "scaled_dot_product_attention", "randn_like"]
    assert {(place.active, place.remark, place.follows_mode) for place in inspection.places} == {
        ("both", "draws in eval mode", False)
    }
    assert str(inspection).count("\n!") == 3
    assert "3 draws in eval mode" in str(inspection)


def test_what_is_configured_and_never_runs_stands_out() -> None:
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        lstm = nn.LSTM(16, 16, dropout=0.4)
    net = Run(
        lambda m, x: F.dropout(m.lstm(x)[0], 0.5, training=False), lstm=lstm, spare=nn.Dropout(0.2), off=nn.Dropout(0)
    )
    places = {place.name: place for place in thinned.inspect(net, torch.randn(*SEQUENCE)).places}
    assert {name: place.remark for name, place in places.items()} == {
        "lstm": "configured, never ran",
        ":dropout": "configured, never ran",
        "spare": "configured, never ran",
        "off": "",
    }
    assert all(place.active == "never" for place in places.values())


def test_a_dropout_built_in_the_forward() -> None:
    net = Run(lambda m, x: nn.Dropout(0.3)(x))
    (place,) = thinned.inspect(net, torch.randn(8, 64)).places
    assert (place.name, place.kind, place.p, place.active) == ("<Dropout>", "Dropout", 0.3, "both")


def test_layer_drop_and_the_layers_it_skips() -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        for layer in m.layers:
            if not (m.training and torch.rand([]) < 0.6):
                x = layer(x)
        return x

    net = Run(run, layers=nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1)) for _ in range(3)]))
    places = {place.name: place for place in thinned.inspect(net, torch.randn(8, 64, 16)).places}
    drop = places.pop(":LayerDrop")
    assert (drop.kind, drop.p, drop.train_calls, drop.active) == ("LayerDrop", 0.6, 3, "train")
    assert sorted(places) == ["layers.0.1", "layers.1.1", "layers.2.1"]
    assert all(place.active == "train" for place in places.values())


@pytest.mark.parametrize("source", ["random", "numpy"])
def test_generators_that_are_not_torch_s(source: str) -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        value = random.random() if source == "random" else np.random.uniform()  # noqa: NPY002
        return x if m.training and value < 0.5 else 2 * x

    (place,) = thinned.inspect(nn.Sequential(nn.Identity(), Run(run)), torch.ones(2)).places
    assert (place.name, place.kind, place.active, place.p) == ("1:random", "random", "both", None)


class Normed(nn.Module):
    """Buffers, modes of all kinds, and on demand an exception after all has been touched."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.frozen = nn.BatchNorm1d(8), nn.Dropout(0.5), nn.BatchNorm1d(8)
        self.register_buffer("seen", torch.zeros(()))
        self.fail_in: bool | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + 1  # a new tensor in the buffer's place
        x = self.frozen(self.drop(self.norm(x)))
        random.random()
        np.random.uniform()  # noqa: NPY002
        if self.training is self.fail_in:
            raise ArithmeticError("on demand")
        return x


@pytest.mark.parametrize("fail_in", [None, True, False])
def test_everything_is_put_back(fail_in: bool | None) -> None:
    net = Normed()
    net.frozen.eval()
    net.fail_in = fail_in
    modes = {name: module.training for name, module in net.named_modules()}
    buffers = dict(net.named_buffers())
    values = {name: value.clone() for name, value in buffers.items()}
    state, plain, numbers = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    if fail_in is None:
        thinned.inspect(net, torch.randn(16, 8, generator=torch.Generator().manual_seed(1)))
    else:
        with pytest.raises(ArithmeticError, match="on demand"):
            thinned.inspect(net, torch.randn(16, 8, generator=torch.Generator().manual_seed(1)))
    assert {name: module.training for name, module in net.named_modules()} == modes
    assert all(value is buffers[name] for name, value in net.named_buffers())
    assert all(torch.equal(value, values[name]) for name, value in net.named_buffers())
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == plain
    assert str(np.random.get_state()) == numbers  # noqa: NPY002
    hooks = torch.nn.modules.module
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks
    assert not torch._C._len_torch_function_stack()


def test_an_active_stream_does_not_notice() -> None:
    net = nn.Sequential(thinned.nn.Dropout(0.5))
    x = torch.ones(64)
    with thinned.stream(net, seed=3):
        first, second = net(x), net(x)
    with thinned.stream(net, seed=3):
        assert torch.equal(net(x), first)
        assert thinned.inspect(net, x).places[0].active == "train"
        assert torch.equal(net(x), second)


def test_a_compiled_model_is_inspected_uncompiled() -> None:
    net = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.25))
    compiled = torch.compile(net, backend="eager")
    (place,) = thinned.inspect(compiled, torch.randn(64, 8)).places  # type: ignore[arg-type]
    assert (place.name, place.p, place.active) == ("1", 0.25, "train")


def test_a_scripted_model_is_seen_from_below() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.25)))
    places = thinned.inspect(scripted, torch.randn(64, 8)).places
    assert [(place.kind, place.active) for place in places if place.train_calls] == [("bernoulli", "train")]
    assert [place.share for place in places] == [None] * len(places)  # no call of torch's was timed that drew


def test_a_scripted_part_is_not_charged_with_another_call() -> None:
    scripted = torch.jit.script(nn.Dropout(0.25))
    places = thinned.inspect(nn.Sequential(nn.Linear(512, 512), scripted), torch.randn(256, 512)).places
    assert [place.share for place in places if place.train_calls] == [None]


def test_other_exports_and_views() -> None:
    inspection = thinned.inspect(nn.Sequential(nn.Dropout(0.25), nn.Dropout1d(0.5)), torch.randn(*SEQUENCE))
    read = json.loads(inspection.to_json())
    assert read["model"] == "Sequential"
    assert [row["name"] for row in read["places"]] == ["0", "1"]
    frame = inspection.to_pandas()
    assert list(frame["p"]) == [0.25, 0.5]
    assert list(frame["active"]) == ["train", "train"]
    assert inspection["1"].kind == "Dropout1d"
    with pytest.raises(KeyError, match="Places: 0, 1"):
        inspection["2"]
    console = rich.console.Console(width=160, record=True, file=io.StringIO())
    console.print(inspection)
    shown = console.export_text()
    assert "Dropout1d" in shown
    assert "one draw along 2" in shown
    assert "one draw along 2" in str(inspection)


def test_a_terminal_of_80_columns_is_enough() -> None:
    model = Run(lambda m, x: F.dropout(m.hidden(x), 0.3), hidden=nn.Linear(16, 16), drop=nn.Dropout(0.5))
    console = rich.console.Console(width=80, record=True, file=io.StringIO())
    console.print(thinned.inspect(model, torch.randn(*SEQUENCE)))
    lines = [line.split() for line in console.export_text().splitlines()]
    (leak,) = (number for number, words in enumerate(lines) if words[:2] == [":dropout", "dropout"])
    assert lines[leak][2].startswith("test_inspect")
    assert lines[leak + 1][:3] == ["!", "draws", "in"]
    assert ["drop", "Dropout", "0.5", "0", "never"] in lines


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match=r"`inspect`: `model` must be a torch.nn.Module. Got str"):
        thinned.inspect("net", torch.ones(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`inspect`: `passes` must be an integer, 1 or more. Got 0"):
        thinned.inspect(nn.Dropout(), torch.ones(1), passes=0)
    with pytest.raises(ValueError, match=r"a lazy module makes at its first call. Run the model once first"):
        thinned.inspect(nn.Sequential(nn.LazyLinear(3)), torch.ones(1, 2))
