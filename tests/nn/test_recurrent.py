"""Locked dropout: one mask for all time steps, whatever form the sequences have."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import thinned.nn as nn
from thinned import noise
from thinned.nn.functional import locked_dropout


def sequences(lengths: list[int], features: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(length, features, generator=generator) + 1 for length in lengths]


def test_one_mask_for_all_time_steps_and_a_fresh_one_for_each_sample() -> None:
    kept = torch.from_numpy(noise.bernoulli(3, 0.5, (1, 8, 16)))
    y = locked_dropout(torch.ones(5, 8, 16), 0.5, key=3)
    assert torch.equal(y, torch.where(kept, 2.0, 0.0).expand(5, 8, 16))
    assert kept[0].unique(dim=0).shape[0] == 8


def test_batch_first_changes_the_axis_and_not_the_mask() -> None:
    x = torch.rand(5, 8, 16) + 1
    by_time = locked_dropout(x, 0.5, key=3)
    by_batch = nn.LockedDropout(0.5, batch_first=True)(x.transpose(0, 1), key=3)
    assert torch.equal(by_batch.transpose(0, 1), by_time)


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_a_packed_sequence_has_the_masks_of_its_padded_form(enforce_sorted: bool) -> None:
    lengths = [5, 4, 4, 2] if enforce_sorted else [4, 2, 5, 4]
    packed = pack_sequence(sequences(lengths, 7), enforce_sorted=enforce_sorted)
    padded, _ = pad_packed_sequence(packed)
    y = nn.LockedDropout(0.5)(packed, key=9)
    assert isinstance(y, PackedSequence)
    assert torch.equal(pad_packed_sequence(y)[0], locked_dropout(padded, 0.5, key=9))
    assert y.sorted_indices is packed.sorted_indices


def test_a_packed_sequence_whatever_torch_s_default_device_is() -> None:
    packed = pack_sequence(sequences([3, 2], 4))
    expected = nn.LockedDropout(0.5)(packed, key=9)
    with torch.device("meta"):
        found = nn.LockedDropout(0.5)(packed, key=9)
    assert torch.equal(found.data, expected.data)


def test_a_packed_sequence_passes_through_unchanged_at_inference_and_gradients_flow_in_training() -> None:
    packed = pack_sequence(sequences([3, 2], 4))
    assert nn.LockedDropout(0.5).eval()(packed) is packed
    assert nn.LockedDropout(0.0)(packed) is packed
    data = packed.data.clone().requires_grad_()
    y = locked_dropout(packed._replace(data=data), 0.5, key=1)
    y.data.sum().backward()
    assert torch.equal(data.grad, y.data / packed.data)


def test_another_rank_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(T, B, C\), \(B, T, C\) or \(T, C\). Got \(2, 2, 2, 2\)"):
        locked_dropout(torch.rand(2, 2, 2, 2))


SPECIAL: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("GRU", {"bias": False}),
]
KINDS: list[dict[str, Any]] = [
    {"kind": kind, "bidirectional": both, "batch_first": first, "num_layers": layers, **extra}
    for kind, extra in SPECIAL
    for both, first, layers in itertools.product([False, True], [False, True], [1, 2])
]


def pair(options: dict[str, Any]) -> tuple[Any, Any]:
    """Ours and torch's, with the same weights."""
    arguments = dict(options)
    kind = arguments.pop("kind")
    torch.manual_seed(0)
    ours, theirs = getattr(nn, kind)(3, 4, **arguments), getattr(torch.nn, kind)(3, 4, **arguments)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def inputs(batch_first: bool) -> list[Any]:
    """Packed in no order, padded, and without a batch."""
    batch = torch.rand(3, 5, 3) if batch_first else torch.rand(5, 3, 3)
    return [pack_sequence(sequences([2, 5, 4], 3), enforce_sorted=False), batch, torch.rand(5, 3)]


def assert_same(actual: Any, expected: Any) -> None:
    (output, state), (output_t, state_t) = actual, expected
    if isinstance(output_t, PackedSequence):
        assert isinstance(output, PackedSequence)
        output, output_t = output.data, output_t.data
    torch.testing.assert_close(output, output_t)
    torch.testing.assert_close(state, state_t)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_with_noise_off_the_result_is_torch_s(options: dict[str, Any]) -> None:
    ours, theirs = pair(options)
    ours.dropout = ours.recurrent_dropout = 0.5
    directions = options["num_layers"] * (1 + options["bidirectional"])
    for x in inputs(options["batch_first"]):
        assert_same(ours.eval()(x), theirs.eval()(x))
        batch = () if isinstance(x, Tensor) and x.ndim == 2 else (3,)
        h = torch.rand(directions, *batch, options.get("proj_size", 4))
        state = (h, torch.rand(directions, *batch, 4)) if options["kind"] == "LSTM" else h
        assert_same(ours(x, state), theirs(x, state))
        # Rates that 16 bits round to 0: training takes both paths of its own and drops nothing.
        ours.train()
        theirs.train()
        for recurrent in (0.0, 1e-9):
            ours.dropout, ours.recurrent_dropout = 1e-9, recurrent
            assert_same(ours(x), theirs(x))
            assert_same(ours(x, state), theirs(x, state))
        ours.dropout = ours.recurrent_dropout = 0.5


def test_a_module_of_torch_loads_into_ours_and_back() -> None:
    ours, theirs = nn.LSTM(3, 4, 2, recurrent_dropout=0.5), torch.nn.LSTM(3, 4, 2)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert isinstance(ours, torch.nn.LSTM)
    x = torch.rand(5, 2, 3)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.eval()(x)[0], theirs(x)[0])
    back = torch.nn.LSTM(3, 4, 2)
    back.load_state_dict(ours.state_dict())
    assert torch.equal(back(x)[0], theirs(x)[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_dropout_masks_the_hidden_state_with_one_mask_a_sequence(kind: str) -> None:
    torch.manual_seed(0)
    cell = getattr(nn, kind)(3, 6, recurrent_dropout=0.5)
    x = torch.rand(7, 2, 3)
    torch.manual_seed(11)
    output, _ = cell(x)
    torch.manual_seed(11)
    mask = nn.functional.dropout(torch.ones(2, 6), 0.5)
    step = getattr(torch.nn, f"{kind}Cell")(3, 6)
    step.load_state_dict({name.removesuffix("_l0"): value for name, value in cell.state_dict().items()})
    # torch's cell on a hidden state that is masked only where it enters the recurrent product.
    h = c = torch.zeros(2, 6)
    for t in range(7):
        if kind == "LSTM":
            h, c = step(x[t], (h * mask, c))
        elif kind == "RNN":
            h = step(x[t], h * mask)
        else:
            masked = step(x[t], h * mask)  # (1 - z) n + z (h m): the state that is carried on must not be masked
            z = (x[t] @ step.weight_ih.T + step.bias_ih + (h * mask) @ step.weight_hh.T + step.bias_hh)[
                :, 6:12
            ].sigmoid()
            h = masked + z * (h - h * mask)
        torch.testing.assert_close(output[t], h)


@pytest.mark.parametrize("recurrent", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_packed_and_padded_sequences_get_the_same_noise(kind: str, recurrent: float) -> None:
    layer = getattr(nn, kind)(3, 4, 2, dropout=0.4, bidirectional=True, recurrent_dropout=recurrent)
    lengths = [4, 4, 4]
    packed = pack_padded_sequence(torch.rand(4, 3, 3), torch.tensor(lengths), enforce_sorted=False)
    torch.manual_seed(3)
    from_packed, state = layer(packed)
    torch.manual_seed(3)
    from_padded, padded_state = layer(pad_packed_sequence(packed)[0])
    torch.testing.assert_close(pad_packed_sequence(from_packed)[0], from_padded)
    torch.testing.assert_close(state, padded_state)


@pytest.mark.parametrize("recurrent", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_sequences_of_any_order_and_length_get_the_noise_of_the_padded_batch(kind: str, recurrent: float) -> None:
    layer = getattr(nn, kind)(3, 4, dropout=0.4, recurrent_dropout=recurrent)
    lengths = [2, 4, 3]
    packed = pack_sequence(sequences(lengths, 3), enforce_sorted=False)
    torch.manual_seed(3)
    output = pad_packed_sequence(layer(packed)[0])[0]
    torch.manual_seed(3)
    padded, _ = layer(pad_packed_sequence(packed)[0])
    for row, length in enumerate(lengths):
        torch.testing.assert_close(output[:length, row], padded[:length, row])


def test_input_dropout_is_locked_over_time_and_fresh_for_each_layer() -> None:
    layer = nn.RNN(6, 6, 2, nonlinearity="relu", dropout=0.5)
    with torch.no_grad():
        for name, value in layer.named_parameters():
            value.copy_(torch.eye(6) if "ih" in name and "weight" in name else torch.zeros_like(value))
    torch.manual_seed(1)
    y, _ = layer(torch.ones(9, 4, 6))
    kept = y > 0
    assert torch.equal(kept, kept[:1].expand_as(kept))
    torch.testing.assert_close(y, 4.0 * kept)
    torch.manual_seed(1)
    first = locked_dropout(torch.ones(9, 4, 6), 0.5)
    assert torch.equal(kept, locked_dropout(first, 0.5) > 0)
    assert not torch.equal(first > 0, y > 0)


@pytest.mark.parametrize("recurrent", [0.0, 0.3])
def test_gradients_reach_every_weight_and_the_initial_state(recurrent: float) -> None:
    layer = nn.LSTM(3, 4, 2, dropout=0.3, bidirectional=True, recurrent_dropout=recurrent)
    state = tuple(torch.zeros(4, 2, 4, requires_grad=True) for _ in range(2))
    output, _ = layer(torch.rand(5, 2, 3), state)
    output.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    assert all(part.grad is not None for part in state)


def test_p_one_drops_everything_unlike_keras() -> None:
    layer = nn.LSTM(3, 4, dropout=1.0, recurrent_dropout=1.0)
    y, _ = layer(torch.rand(5, 2, 3))
    zeros, _ = layer(torch.zeros(5, 2, 3))
    assert torch.equal(y, zeros)


def test_bad_shapes_are_torch_s_errors() -> None:
    with pytest.raises(RuntimeError, match=r"Expected 3, got 2|expected 3"):
        nn.LSTM(3, 4, dropout=0.5)(torch.rand(5, 2, 2))
    with pytest.raises(RuntimeError, match="Expected hidden"):
        nn.GRU(3, 4, dropout=0.5)(torch.rand(5, 2, 3), torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="Expected input to be 2D or 3D, got 1D"):
        nn.LSTM(3, 4, dropout=0.5)(torch.rand(3))
    with pytest.raises(RuntimeError, match="sequence length to be larger than 0"):
        nn.LSTM(3, 4, recurrent_dropout=0.5)(torch.rand(0, 2, 3))


# The constructor: what torch refuses is refused by the same class of error.

BAD_ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((3,), {}),
    ((3.5, 4), {}),
    (("3", 4), {}),
    ((3, 4.5), {}),
    ((3, None), {}),
    ((3, 0), {}),
    ((3, -1), {}),
    ((-1, 3), {}),
    ((3, 4), {"num_layers": 0}),
    ((3, 4), {"num_layers": -1}),
    ((3, 4), {"num_layers": 1.5}),
    ((3, 4), {"dropout": 1.5}),
    ((3, 4), {"dropout": -0.1}),
    ((3, 4), {"dropout": float("nan")}),
    ((3, 4), {"dropout": None}),
    ((3, 4), {"proj_size": 10}),
    ((3, 4), {"proj_size": 4}),
    ((3, 4), {"proj_size": -1}),
    ((3, 4), {"proj_size": 1.5}),
    ((3, 4), {"nonlinearity": "gelu"}),
    ((3, 4), {"nonlinearity": None}),
    ((3, 4), {"mode": "LSTM"}),
    ((3, 4), {"unknown": 1}),
    ((3, 4), {"input_size": 3}),
    ((3, 4), {"device": "nowhere"}),
    ((3, 4), {"dtype": "float"}),
]


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last:UserWarning")  # torch's alone
@pytest.mark.parametrize(("arguments", "named"), BAD_ARGUMENTS, ids=str)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_bad_argument_has_torch_s_class_of_error(
    kind: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    def raised(make: Any) -> type[Exception] | None:
        try:
            make(*arguments, **named)
        except Exception as error:  # any: it is what the test is about
            return type(error)
        return None

    assert raised(kind) is raised(getattr(torch.nn, kind.__name__))


@pytest.mark.parametrize("size", [0, 2, 10])
@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_a_projection_is_for_an_lstm_alone(kind: Any, size: int) -> None:
    with pytest.raises(ValueError, match=rf"`{kind.__name__}`: `proj_size` must be left out.* Got {size}. Use LSTM"):
        kind(3, 4, proj_size=size)
