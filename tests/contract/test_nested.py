"""Nested tensors: every layer gives a row the mask that it has in the padded tensor, or says what it takes instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import thinned
import thinned.nn.functional as F
from thinned.nn import GRU, LSTM, RNN, DropConnectLinear, Dropout, DropoutAdd, LockedDropout
from thinned.nn.variants import Variant

# torch's, of the older layout.
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning")

LENGTHS = (2, 5, 0, 3)
LAYOUTS = (torch.jagged, torch.strided)
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=str)


def rows(*features: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(length, *features, generator=generator) + 1 for length in LENGTHS]


def nested(layout: torch.layout, *features: int) -> Tensor:
    return torch.nested.nested_tensor(rows(*features), layout=layout)


def padded(*features: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows(*features), batch_first=True)


def assert_rows(found: Tensor, expected: Tensor) -> None:
    for row, whole, length in zip(found.unbind(), expected, LENGTHS, strict=True):
        assert torch.equal(row, whole[:length])


def layer_for(variant: Variant, **settings: Any) -> tuple[Any, int]:
    """A layer that takes `(B, T, C)` or `(B, T, ...)`, and how many axes of features."""
    if variant.name == "LockedDropout":
        settings["batch_first"] = True
    return variant.module(p=0.4, **settings), {"Dropout3d": 3, "Dropout2d": 2}.get(variant.name, 1)


@layouts
def test_the_mask_is_that_of_the_padded_tensor(keyed: Variant, layout: torch.layout) -> None:
    layer, axes = layer_for(keyed)
    features = (4, 3, 2)[:axes]
    assert_rows(layer(nested(layout, *features), key=3), layer(padded(*features), key=3))
    torch.manual_seed(1)
    drawn = layer(nested(layout, *features))
    torch.manual_seed(1)
    assert_rows(drawn, layer(padded(*features)))


@layouts
def test_the_gradient_is_that_of_the_padded_tensor(keyed: Variant, layout: torch.layout) -> None:
    layer, axes = layer_for(keyed)
    features = (4, 3, 2)[:axes]
    x, whole = nested(layout, *features).requires_grad_(), padded(*features).requires_grad_()
    outputs = torch.cat([row.square().flatten() for row in layer(x, key=3).unbind()])
    outputs.sum().backward()
    layer(whole, key=3).square().sum().backward()
    assert x.grad is not None
    assert whole.grad is not None
    assert_rows(x.grad, whole.grad)


@pytest.mark.having("scaling")
def test_classic_scaling(keyed: Variant) -> None:
    layer, axes = layer_for(keyed, scaling="classic")
    features = (4, 3, 2)[:axes]
    for training in (True, False):
        layer.train(training)
        assert_rows(layer(nested(torch.jagged, *features), key=3), layer(padded(*features), key=3))


@pytest.mark.having("inplace")
@layouts
def test_in_place(variant: Variant, layout: torch.layout) -> None:
    layer, axes = layer_for(variant, inplace=True)
    features = (4, 3, 2)[:axes]
    x = nested(layout, *features)
    assert layer(x, key=3) is x
    assert_rows(x, layer(padded(*features), key=3))


def test_a_jagged_result_is_added_to_its_input() -> None:
    x = nested(torch.jagged, 4)
    assert_rows(x + Dropout(0.5)(x, key=3), padded(4) + F.dropout(padded(4), 0.5, key=3))
    assert_rows(DropoutAdd(0.5)(x, x, key=3), padded(4) + F.dropout(padded(4), 0.5, key=3))


def test_the_ragged_axis_may_be_another_and_rows_may_have_gaps() -> None:
    x = nested(torch.jagged, 4).transpose(1, 2)
    expected = F.dropout(padded(4).transpose(1, 2), 0.5, key=3)
    for row, whole, length in zip(F.dropout(x, 0.5, key=3).unbind(), expected, LENGTHS, strict=True):
        assert torch.equal(row, whole[:, :length])
    whole = torch.rand(3, 6, 4) + 1
    lengths = torch.tensor([4, 2, 3])
    gaps = torch.nested.narrow(whole, 1, torch.tensor([0, 3, 1]), lengths, layout=torch.jagged)
    filled = torch.nn.utils.rnn.pad_sequence(list(gaps.unbind()), batch_first=True)
    for row, other in zip(F.dropout(gaps, 0.5, key=3).unbind(), F.dropout(filled, 0.5, key=3), strict=True):
        assert torch.equal(row, other[: len(row)])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_edges(p: float) -> None:
    x = nested(torch.jagged, 4)
    assert_rows(Dropout(p)(x), padded(4) * (1 - p))
    empty = torch.nested.nested_tensor([torch.ones(0, 4), torch.ones(0, 4)], layout=torch.jagged)
    assert Dropout(p)(empty).shape[0] == 2


@pytest.mark.parametrize("recomputed", [False, True])
def test_in_a_stream_and_recomputed(recomputed: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), Dropout(0.5), LockedDropout(0.3, batch_first=True))
    results = []
    for x in (nested(torch.jagged, 4), padded(4)):
        with thinned.stream(model, seed=1):
            y = checkpoint(model, x, use_reentrant=False) if recomputed else model(x)
            parts = y.unbind() if x.is_nested else [row[:length] for row, length in zip(y, LENGTHS, strict=True)]
            loss = torch.cat(list(parts)).square().sum()
            results.append((loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.compiler
@pytest.mark.usefixtures("dynamo")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # dynamo's own
def test_compiled() -> None:
    """With a break in the graph, at the lengths."""
    layer, x, whole = Dropout(0.5), nested(torch.jagged, 4).requires_grad_(), padded(4).requires_grad_()
    compiled = torch.compile(layer, backend="aot_eager")
    y, expected = compiled(x, key=3), layer(whole, key=3)
    assert_rows(y, expected)
    y.values().square().sum().backward()
    expected.square().sum().backward()
    assert x.grad is not None
    assert whole.grad is not None
    assert_rows(x.grad, whole.grad)


@pytest.fixture
def dynamo() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@layouts
def test_what_a_layer_does_not_take_is_refused_by_name(layout: torch.layout) -> None:
    x = nested(layout, 4)
    for kind in (LSTM, GRU, RNN):
        for training in (True, False):
            with pytest.raises(TypeError, match=rf"`{kind.__name__}`: `input` must be padded, packed .*pack_sequence"):
                kind(4, 3, dropout=0.5).train(training)(x)
    with pytest.raises(ValueError, match="`locked_dropout`: `batch_first` must be True for a nested tensor"):
        LockedDropout(0.5)(x)
    whole = torch.nested.nested_tensor([torch.ones(2, 4, dtype=torch.int64)] * 2, layout=layout)
    with pytest.raises(TypeError, match="must be floating-point or complex"):
        Dropout(0.5)(whole)


def test_weights_are_dropped_as_ever() -> None:
    layer = DropConnectLinear(4, 3, p=0.5)
    ours, whole = layer(nested(torch.jagged, 4), key=3), layer(padded(4), key=3)
    for row, expected, length in zip(ours.unbind(), whole, LENGTHS, strict=True):
        torch.testing.assert_close(row, expected[:length])  # products of other shapes


@pytest.mark.parametrize("function", [F.dropout, F.gaussian_dropout])
def test_shared_axes(function: Callable[..., Tensor]) -> None:
    for shared in ((0,), (1,), (2,), (-1, 0)):
        ours, whole = (function(x, 0.5, key=3, broadcast_dims=shared) for x in (nested(torch.jagged, 4), padded(4)))
        assert_rows(ours, whole)
