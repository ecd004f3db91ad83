"""The operators against the expected values of tests/vectors, and against the NumPy reference for what these lack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.vectors import read

from thinned.noise import bernoulli, normal, place
from thinned.ops import drop, gaussian
from thinned.ops.philox import signed
from thinned.ops.rate import packed


@pytest.mark.parametrize("case", read.masks(), ids=str)
def test_mask(case: read.Mask) -> None:
    output = drop(torch.ones(case.shape), case.p, key=case.key, **case.block)
    assert case.agrees(output.numpy() != 0)
    assert set(output.unique().tolist()) <= {0.0, case.scale}


@pytest.mark.parametrize("case", read.fields(), ids=str)
def test_normal_field(case: read.Field) -> None:
    output = gaussian(torch.ones(case.shape, dtype=torch.float64), 1.0, key=case.key, **case.block)
    assert output.shape == case.shape
    assert np.abs(output.numpy() - 1.0 - case.normal).max(initial=0.0) <= 1e-6


@pytest.mark.parametrize("case", read.fields(), ids=str)
def test_uniform_field(case: read.Field) -> None:
    where = place(case.shape, **case.block)
    ones, law = torch.ones(case.shape, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    strides = [signed(step) for step in where.strides]
    output = torch.ops.thinned.uniform(ones, torch.tensor(signed(case.key)), law, False, strides, signed(where.base))
    assert np.array_equal(output.numpy(), np.minimum(case.uniform, 1.0 - 2.0**-24))


@pytest.mark.parametrize("shared", [(), (1,), (0, 2)])
@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 9, 1), (0, 2, 2)])
@pytest.mark.parametrize("start", [0, 5])
def test_keys_of_leading_axes_give_every_row_its_own_field(
    shape: tuple[int, ...], shared: tuple[int, ...], start: int
) -> None:
    """The operator's own interface, as vmap reaches it: `key.ndim` leading axes of x do not count as positions."""
    keys = torch.tensor([[3, signed(2**64 - 1)], [5, 3]])
    where = place(shape, broadcast_dims=shared, offset=(start, 0, 0), global_shape=(9, *shape[1:]))
    block = read.Block(broadcast_dims=shared, offset=(start, 0, 0), global_shape=(9, *shape[1:]))
    x = torch.ones(2, 2, *shape, dtype=torch.float64)
    strides = [0, 0, *where.strides]
    dropped = torch.ops.thinned.drop(x, keys, packed("inverted", 0.5, "drop"), False, strides, where.base)
    noisy = torch.ops.thinned.gaussian(x, keys, torch.tensor([1.0], dtype=torch.float64), False, strides, where.base)
    for row in np.ndindex(2, 2):
        key = int(keys[row]) % 2**64
        assert np.array_equal(dropped[row].numpy() != 0, bernoulli(key, 0.5, shape, **block))
        assert np.abs(noisy[row].numpy() - 1.0 - normal(key, shape, **block)).max(initial=0.0) <= 1e-6


def test_strides_beyond_63_bits() -> None:
    """A whole of 2**64 positions in rows of 2**63, of which the second is reached by an offset."""
    block = read.Block(broadcast_dims=(), offset=(1, 2**63 - 8), global_shape=(2, 2**63))
    output = drop(torch.ones(1, 8), 0.5, key=9, **block)
    assert np.array_equal(output.numpy() != 0, bernoulli(9, 0.5, (1, 8), **block))
    row = read.Block(broadcast_dims=(), offset=(0, 2**64 - 8), global_shape=(1, 2**64))
    assert torch.equal(output, drop(torch.ones(1, 8), 0.5, key=9, **row)), "the same last eight positions"
