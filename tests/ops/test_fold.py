"""Child keys of tensors: the contract's, under every transform."""

from __future__ import annotations

import pytest
import torch
from tests.vectors import read
from torch import Tensor
from torch.library import opcheck

from thinned.noise import fold_in as reference
from thinned.ops.fold import fold_in, fold_number
from thinned.ops.philox import signed


def test_vectors() -> None:
    for key, n, child in read.children():
        assert fold_in(torch.tensor(signed(key)), n).item() == signed(child)
        assert fold_number(key, n) == child


def test_opcheck() -> None:
    keys = torch.tensor([[3, -1, 5], [0, 2**62, -(2**63)]])
    for key in (keys, keys.T, keys[0, 0], keys[:0]):
        checks = opcheck(torch.ops.thinned.fold_in.default, (key, -2))
        assert set(checks.values()) == {"SUCCESS"}


def test_every_key_of_a_tensor_has_its_child() -> None:
    keys = torch.tensor([[3, -1, 5], [0, 2**62, -(2**63)]])
    expected = torch.tensor([[signed(reference(key % 2**64, 9)) for key in row] for row in keys.tolist()])
    assert torch.equal(fold_in(keys, 9), expected)
    assert torch.equal(fold_in(keys.T, 9), expected.T)
    for dim in (0, 1):
        rows = torch.vmap(lambda key: fold_in(key, 9), in_dims=dim, out_dims=dim)(keys)
        assert torch.equal(rows, expected)
    assert torch.equal(torch.vmap(torch.vmap(lambda key: fold_in(key, 9)))(keys), expected)


@pytest.mark.compiler
def test_one_graph_for_every_key_and_number() -> None:
    torch._dynamo.reset()

    def child(key: Tensor, n: int) -> Tensor:
        return fold_in(key, n) + 0

    compiled = torch.compile(child, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for key, n in ((7, 3), (-7, 4), (0, 2**40)):
            assert torch.equal(compiled(torch.tensor(key), n), fold_in(torch.tensor(key), n))
    torch._dynamo.reset()
