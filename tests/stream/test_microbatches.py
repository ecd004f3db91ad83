"""A batch in pieces has the masks of the batch in one: for the same samples the same, and the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
from tests.stream.network import assert_same, batch, gradients, loss, network, trained
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

import thinned
from thinned import nn
from thinned.nn.stream.stream import Stream

SEED = 4
Pieces = Callable[[Stream, Tensor], Iterator[Tensor]]


def equal(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    """4 x 16 of 64."""
    for index, rows in enumerate(x.chunk(4)):
        with stream.part(index, 4):
            yield rows


def unequal(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    """A last short microbatch."""
    for start in range(0, len(x), 24):
        rows = range(start, min(start + 24, len(x)))
        with stream.rows(rows, len(x)):
            yield x[rows.start : rows.stop]


def dealt(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    """As DistributedSampler deals."""
    for index in range(4):
        with stream.part(index, 4, interleaved=True):
            yield x[index::4]


def dealt_by_name(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    for index in range(4):
        with stream.rows(range(index, len(x), 4), len(x)):
            yield x[index::4]


def nested(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    """Microbatches of a rank's share."""
    for rank in range(2):
        with stream.part(rank, 2, interleaved=True):
            yield from unequal(stream, x[rank::2])


def backwards(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    for index in reversed(range(4)):
        with stream.part(index, 4):
            yield x.chunk(4)[index]


def batches(step: int) -> Tensor:
    return batch(step, 64)


@pytest.mark.parametrize("pieces", [equal, unequal, dealt, dealt_by_name, nested, backwards])
def test_accumulated_gradients_are_the_batch_s(pieces: Pieces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.stream.network.batch", batches)
    whole, parts = trained(network(), 3), trained(network(), 3, pieces)
    assert_same(parts, whole)
    for first, second in pairwise(whole):
        with pytest.raises(AssertionError):
            assert_same(first, second)


@pytest.mark.parametrize("pieces", [equal, unequal, dealt, nested])
def test_masks_are_the_batch_s_bit_for_bit(pieces: Pieces) -> None:
    model = network()
    x = batches(0)
    with thinned.stream(model, SEED) as stream:
        whole = model(x)
        stream.load_state_dict({"seed": SEED, "step": 0, "version": 1})
        outputs = [model(piece) for piece in pieces(stream, x)]
    order = torch.cat(list(pieces(stream, torch.arange(64).unsqueeze(1))))[:, 0]
    assert_same(torch.cat(outputs), whole[order])


def test_sums_of_losses_may_be_differentiated_at_the_end() -> None:
    model = network()
    with thinned.stream(model, SEED) as stream:
        loss(model, batches(0)).backward()
        whole = gradients(model)
        stream.load_state_dict(stream.state_dict())
        torch.stack([loss(model, piece) for piece in equal(stream, batches(0))]).sum().backward()
        assert_same(gradients(model), whole)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_know_their_batch_axis(kind: str, batch_first: bool) -> None:
    layer = getattr(nn, kind)(4, 5, num_layers=2, dropout=0.5, recurrent_dropout=0.25, batch_first=batch_first)
    x = torch.rand(8, 3, 4, generator=torch.Generator().manual_seed(1))
    model = torch.nn.ModuleDict({"rnn": layer, "locked": nn.LockedDropout(0.5, batch_first)})

    def run(x: Tensor) -> Tensor:
        sequence = x if batch_first else x.transpose(0, 1)
        y: Tensor = model["locked"](layer(sequence)[0])
        y = nn.functional.locked_dropout(y, 0.5, batch_first=batch_first)
        return y if batch_first else y.transpose(0, 1)

    with thinned.stream(model, SEED) as stream:
        whole = run(x)
        stream.load_state_dict(stream.state_dict())
        for pieces in (unequal_of_three, dealt_in_two):
            for piece, rows in pieces(stream, x):
                assert_same(run(piece), whole[rows])


def unequal_of_three(stream: Stream, x: Tensor) -> Iterator[tuple[Tensor, slice]]:
    for start in range(0, len(x), 3):
        rows = range(start, min(start + 3, len(x)))
        with stream.rows(rows, len(x)):
            yield x[rows.start : rows.stop], slice(rows.start, rows.stop)
    stream.load_state_dict(stream.state_dict())


def dealt_in_two(stream: Stream, x: Tensor) -> Iterator[tuple[Tensor, slice]]:
    for rank in range(2):
        with stream.part(rank, 2, interleaved=True):
            yield x[rank::2], slice(rank, None, 2)


def test_packed_sequences_in_pieces() -> None:
    layer = nn.LSTM(4, 5, dropout=0.5, recurrent_dropout=0.25)
    x = torch.rand(3, 8, 4, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([1, 3, 2, 3, 2, 2, 3, 1])

    def run(rows: slice) -> Tensor:
        packed = pack_padded_sequence(x[:, rows], lengths[rows], enforce_sorted=False)
        final: Tensor = layer(packed)[1][0][0]
        return final

    with thinned.stream(layer, SEED) as stream:
        whole = run(slice(8))
        stream.load_state_dict(stream.state_dict())
        for index in range(4):
            with stream.part(index, 4):
                rows = slice(2 * index, 2 * index + 2)
                assert_same(run(rows), whole[rows])


def test_a_part_of_another_axis() -> None:
    """A sequence on several ranks, in microbatches."""
    layer = nn.Dropout(0.5)
    x = torch.rand(8, 6, 4, generator=torch.Generator().manual_seed(1))
    with thinned.stream(layer, SEED) as stream:
        whole = layer(x)
        stream.load_state_dict(stream.state_dict())
        for half in range(2):
            with stream.part(half, 2):
                for third in range(3):
                    with stream.part(third, 3, dim=1):
                        rows, steps = slice(4 * half, 4 * half + 4), slice(2 * third, 2 * third + 2)
                        assert torch.equal(layer(x[rows, steps]), whole[rows, steps])


def test_flattened_rows() -> None:
    layer = nn.Dropout(0.5)
    x = torch.rand(8, 6, 4, generator=torch.Generator().manual_seed(1))
    with thinned.stream(layer, SEED) as stream:
        whole = layer(x.flatten(0, 1))
        stream.load_state_dict(stream.state_dict())
        with stream.part(1, 4):
            assert torch.equal(layer(x[2:4].flatten(0, 1)), whole[12:24])
        with stream.rows(range(4, 8), 8):
            assert torch.equal(layer(x[4:].flatten(0, 1)), whole[24:])
        with stream.rows(range(0, 8, 2), 8), pytest.raises(ValueError, match="4 rows, 2 apart; the tensor has 24"):
            layer(x[::2].flatten(0, 1))


def test_every_part_counts_its_own_calls() -> None:
    """Two passes over the same microbatches, before and after calls with the whole batch."""
    layer = nn.Dropout(0.5)
    x = torch.ones(8, 20)
    with thinned.stream(layer, SEED) as stream:
        expected = [layer(x) for _ in range(5)]
        stream.load_state_dict(stream.state_dict())
        assert torch.equal(layer(x), expected[0])
        for call in (1, 2):
            for index in range(2):
                with stream.part(index, 2):
                    rows = slice(4 * index, 4 * index + 4)
                    assert torch.equal(layer(x[rows]), expected[call][rows])
        assert torch.equal(layer(x), expected[3])
        with stream.part(1, 2):
            assert torch.equal(layer(x[4:]), expected[4][4:])


def test_weights_are_the_same_in_every_microbatch() -> None:
    model = torch.nn.Sequential(nn.drop_connect(torch.nn.Linear(6, 6), p=0.5), nn.DropConnectLinear(6, 6, p=0.5))
    x = batches(0)
    with thinned.stream(model, SEED) as stream:
        whole = model(x)
        stream.load_state_dict(stream.state_dict())
        assert_same(torch.cat([model(piece) for piece in equal(stream, x)]), whole)
