"""A batch to its device: what is moved, and what it stays."""

from __future__ import annotations

from collections import UserDict
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pack_padded_sequence

from thinned.fit.device import on_device


class Pair(NamedTuple):
    x: torch.Tensor
    y: list[torch.Tensor]


def test_every_tensor_is_moved_and_containers_stay_what_they_are() -> None:
    x = torch.ones(2)
    moved = on_device((Pair(x, [x]), UserDict(ids=x, text="as it is")), "meta")
    assert type(moved) is tuple
    assert type(moved[0]) is Pair
    assert type(moved[0].y) is list
    assert type(moved[1]) is dict
    assert moved[1]["text"] == "as it is"
    assert {tensor.device.type for tensor in (moved[0].x, moved[0].y[0], moved[1]["ids"])} == {"meta"}
    assert x.device.type == "cpu"


def test_a_packed_sequence_is_moved() -> None:
    packed = pack_padded_sequence(torch.ones(3, 2), [3, 1])
    assert on_device([packed], "meta")[0].data.device.type == "meta"


def test_without_a_device_tensors_are_left_where_they_are() -> None:
    x = torch.ones(2, device="meta")
    assert on_device([x], None)[0] is x


def test_classes_of_lists_are_passed_on_as_they_are() -> None:
    """Only its author knows how such a batch is made."""

    class Batch(list[torch.Tensor]):
        pass

    batch = Batch([torch.ones(2)])
    assert on_device(batch, "meta") is batch
