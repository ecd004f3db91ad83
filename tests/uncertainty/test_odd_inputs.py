"""Inputs, answers, models and settings that `predict` can't take are refused by name; the others give their numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.masked import masked_tensor
from torch.nn.utils.rnn import pack_sequence

import thinned


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))


def nested(layout: torch.layout) -> Tensor:
    return torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=layout)


class Plain(Tensor):
    """A subclass that computes as every tensor does."""


INPUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "jagged": (lambda: nested(torch.jagged), r"a nested tensor of layout torch.jagged. Pass x.to_padded_tensor"),
    "strided": (lambda: nested(torch.strided), "a nested tensor of layout torch.strided"),
    "in a tuple": (lambda: (nested(torch.jagged),), "a nested tensor"),
    "in a dict": (lambda: {"input": nested(torch.jagged)}, "a nested tensor"),
    "deeper": (lambda: (torch.ones(2, 4), {"rest": [nested(torch.strided)]}), "a nested tensor"),
    "sparse": (lambda: torch.ones(3, 4).to_sparse(), r"layout torch.sparse_coo. Pass x.to_dense\(\)"),
    "csr": (lambda: torch.ones(3, 4).to_sparse_csr(), "layout torch.sparse_csr"),
    "onednn": (lambda: torch.ones(3, 4).to_mkldnn(), "layout torch._mkldnn"),
    "meta": (lambda: torch.ones(3, 4, device="meta"), "one on the device meta, which has no numbers"),
    "masked": (lambda: masked_tensor(torch.ones(3, 4), torch.ones(3, 4) > 0), "a MaskedTensor, whose class computes"),
    "packed": (lambda: pack_sequence([torch.ones(2, 4)]), "a PackedSequence"),
    "no rows": (lambda: torch.ones(0, 4), r"rows on axis 0. Got the shape \(0, 4\)"),
    "no axis": (lambda: torch.ones(()), r"Got the shape \(\). Pass x\[None\] for a single row"),
    "an array": (lambda: torch.ones(3, 4).numpy(), "Got ndarray. For an array pass torch.as_tensor"),
    "nothing": (lambda: None, "Got NoneType"),
    "no tensor": (dict, "Got none"),
}


@pytest.mark.filterwarnings("ignore:.*(nested|MaskedTensors|Sparse CSR)")
@pytest.mark.parametrize("kind", INPUTS)
def test_inputs(kind: str) -> None:
    make, message = INPUTS[kind]
    net, x = network(), make()
    doors: list[Callable[[], Any]] = [lambda: thinned.predict(net, x, n=2), lambda: thinned.Predictor(net, n=2)(x)]
    if isinstance(x, Tensor | tuple | dict):
        doors.append(lambda: thinned.predict(net, torch.ones(2, 4), n=2, inputs=lambda _: x))
    for door in doors:
        with pytest.raises((TypeError, ValueError), match=f"`predict`: `x` must .*{message}"):
            door()


@pytest.mark.parametrize("make", [lambda x: x.as_subclass(Plain), nn.Parameter, lambda x: x[:, :, None].squeeze(2)])
def test_inputs_that_are_plain_tensors_by_another_class(make: Callable[[Tensor], Tensor]) -> None:
    net, x = network(), torch.randn(3, 4)
    found = thinned.predict(net, make(x), n=3, seed=2)
    assert type(found.mean) is Tensor
    assert torch.equal(found.mean, thinned.predict(net, x, n=3, seed=2).mean)


class Answers(nn.Module):
    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.linear, self.dropout, self.form = nn.Linear(4, 4), nn.Dropout(0.5), form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.dropout(self.linear(x)))


@pytest.mark.filterwarnings("ignore:.*(nested|MaskedTensors|quantize)")
@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda y: torch.nested.as_nested_tensor([*y.unbind()], layout=torch.jagged), "a nested tensor"),
        (lambda y: y.to_sparse(), "a tensor of layout torch.sparse_coo"),
        (lambda y: masked_tensor(y, y > 0), "a MaskedTensor"),
        (lambda y: torch.complex(y, y), "a tensor of torch.complex64"),
        (lambda y: torch.quantize_per_tensor(y, 0.1, 0, torch.quint8), "a tensor of torch.quint8"),
        (lambda y: y.mean(), "one number for all rows"),
    ],
    ids=["nested", "sparse", "masked", "complex", "quantised", "scalar"],
)
def test_answers(form: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"must answer with a plain tensor.*Got {message}. Pass select="):
        thinned.predict(Answers(form), torch.ones(3, 4), n=2)


def test_a_complex_answer_can_be_taken_apart() -> None:
    model, x = Answers(lambda y: torch.complex(y, y)), torch.ones(3, 4)
    whole = thinned.predict(model, x, n=3, seed=1, select=lambda y: torch.view_as_real(y).flatten(1))
    assert whole.mean.shape == (3, 8)


@pytest.mark.filterwarnings("ignore:.*quantize")
def test_a_model_may_take_quantised_rows() -> None:
    model, x = nn.Sequential(Dequantized(), nn.Linear(4, 4), nn.Dropout(0.5)), torch.rand(3, 4)
    rows = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
    found = thinned.predict(model, rows, n=3, seed=1)
    assert torch.equal(found.mean, thinned.predict(model[1:], rows.dequantize(), n=3, seed=1).mean)


class Dequantized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.dequantize()


def test_models_without_numbers() -> None:
    last = nn.Linear(8, 2, device="meta")
    part = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), last)
    batch_norm = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, affine=False).to("meta"), nn.Dropout(0.5))
    for model, name in ((network().to("meta"), "0.weight"), (part, "2.weight"), (batch_norm, "1.running_mean")):
        with pytest.raises(ValueError, match=f"`model` must have its parameters. Got '{name}' on the device meta"):
            thinned.predict(model, torch.ones(3, 4), n=2)
    ask = thinned.Predictor(part, n=2)  # they may come later
    last.to_empty(device="cpu").reset_parameters()
    assert ask(torch.ones(3, 4)).mean.shape == (3, 2)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"memory": "256MB"}, TypeError, "`memory` must be a number of bytes, 1 or more. Got '256MB'. Pass 2"),
        ({"memory": None}, TypeError, "`memory` must be a number of bytes"),
        ({"memory": True}, TypeError, "`memory` must be a number of bytes"),
        ({"memory": 0}, ValueError, "`memory` must be a number of bytes, 1 or more. Got 0"),
        ({"memory": float("nan")}, ValueError, "`memory` must be a number of bytes"),
        ({"levels": "0.5"}, TypeError, r"`levels` must be in \[0, 1\]. Got '0.5'"),
        ({"levels": 0.5}, TypeError, r"`levels` must be in \[0, 1\]. Got 0.5. Pass \(0.05, 0.95\)"),
        ({"levels": None}, TypeError, "`levels` must be in "),
        ({"levels": [float("nan")]}, ValueError, "`levels` must be in "),
        ({"temperature": "1", "task": "classification"}, ValueError, "`temperature` must be a finite number above 0"),
        ({"device": "nope"}, ValueError, "`device` must be a device that holds numbers. Got 'nope'"),
        ({"device": "meta"}, ValueError, "`device` must be a device that holds numbers. Got 'meta'"),
        ({"device": 1.5}, TypeError, "`device` must be a device"),
        ({"shared_masks": "no"}, TypeError, "`shared_masks` must be True or False. Got 'no'"),
        ({"samples": 1}, TypeError, "`samples` must be True or False. Got 1"),
        ({"progress": "no"}, TypeError, "`progress` must be True or False. Got 'no'"),
        ({"sites": 3}, TypeError, "`sites` must be a pattern or a list of patterns. Got 3"),
        ({"sites": [nn.Dropout]}, TypeError, "`sites` must be a pattern or a list of patterns"),
        ({"inputs": "x"}, TypeError, "`inputs` must be a function of a batch. Got 'x'"),
    ],
)
def test_settings(settings: dict[str, Any], kind: type[Exception], message: str) -> None:
    with warnings.catch_warnings(), pytest.raises(kind, match=f"`predict`: {message}"):
        thinned.predict(network(), torch.ones(3, 4), **{"n": 2, **settings})


def test_settings_that_are_numbers_of_other_kinds() -> None:
    net, x = network(), torch.ones(3, 4)
    plain = thinned.predict(net, x, n=3).mean
    numbers: list[Any] = [1e9, float(2**28), torch.tensor(2**20).item()]
    for memory in numbers:
        assert torch.equal(thinned.predict(net, x, n=3, memory=memory).mean, plain)
