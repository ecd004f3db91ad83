"""What others get wrong about which unit gets which draw: wraps, repeats, ends of blocks, threads."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import thinned
from thinned.nn.functional import dropout
from thinned.nn.variants import VARIANTS, Variant
from thinned.noise import bernoulli, normal, place
from thinned.ops import drop, gaussian

KEY = 0x0123456789ABCDEF
# Where a position, its block of 8 lanes (Bernoulli) or of 4 (normal), or its sign runs out of 31, 32 or 63 bits.
EDGES = {
    "2**31 positions": 2**31,
    "2**32 positions": 2**32,
    "2**31 normal blocks": 2**33,
    "2**31 blocks, 2**32 normal blocks": 2**34,
    "2**32 blocks": 2**35,
    "2**63 positions": 2**63,
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def at(start: int) -> dict[str, Any]:
    """A block of one axis that starts there in a whole of 2**64 positions."""
    return {"offset": (start,), "global_shape": (2**64,)}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("before", [1, 20, 27, 64])
def test_masks_on_both_sides_of_a_wrap(edge: str, before: int) -> None:
    """torch 2.13: the flash kernel's 32-bit offset wraps on long sequences; ffpa-attn (Triton): 32-bit offsets above
    2**31 scores. Forward and backward, in every dtype."""
    block = at(EDGES[edge] - before)
    kept = torch.from_numpy(bernoulli(KEY, 0.5, (100,), **block))
    for dtype in DTYPES:
        x = torch.arange(1, 101, dtype=dtype).requires_grad_()
        y = drop(x, 0.5, key=KEY, **block)
        assert torch.equal(y, torch.where(kept, 2 * x, 0))
        assert torch.equal(torch.autograd.grad(y, x, x)[0], y)
    factor = 1 + torch.from_numpy(normal(KEY, (100,), **block))
    ones = torch.ones(100, dtype=torch.float64, requires_grad=True)
    y = gaussian(ones, 1.0, key=KEY, **block)
    assert (y - factor).abs().max() <= 1e-6
    assert torch.equal(torch.autograd.grad(y.sum(), ones)[0], y)


@pytest.mark.parametrize("wrap", [2**31, 2**32, 2**34, 2**35])
def test_what_lies_beyond_a_wrap_is_not_what_lies_at_the_start(wrap: int) -> None:
    """The same faults, by what they do: a sequence that is long enough repeats its masks."""
    x = torch.ones(512)
    for operator in (drop, gaussian):
        start, beyond = operator(x, 0.5, key=KEY), operator(x, 0.5, key=KEY, **at(wrap))
        agreeing = int(((start > 1) == (beyond > 1)).sum())
        assert abs(agreeing - 256) < 5 * math.sqrt(512 / 4), "independent halves agree in half of the places"


# Shards with positions on both sides of an edge: (edge, whole, shape, offset, shared axes).
Axes = tuple[int, ...]
SHARDS: dict[str, tuple[int, Axes, Axes, Axes, Axes]] = {
    "rows": (2**31, (2**20, 2**20 + 3), (5, 37), (2045, 2**20 - 34), ()),
    "rows that end there": (2**32, (2**20, 2**17), (4, 37), (2**15 - 2, 2**17 - 37), ()),
    "whole rows": (2**35, (2**30, 48), (4, 48), (2**35 // 48 - 1, 0), ()),
    "rows half a field apart": (2**63, (2, 2**63), (2, 19), (0, 2**63 - 19), ()),
    "rows that are one number": (2**31, (2**40, 2**20), (3, 1), (2**11 - 1, 5), ()),
    "channels": (2**32, (2**30, 12, 7), (3, 12, 7), (2**32 // 12 - 1, 0, 0), (2,)),
    "some of the channels": (2**35, (2**33, 12, 7), (3, 5, 2), (2**35 // 12 - 1, 4, 5), (2,)),
    "one draw a row": (2**35, (2**36, 8, 3), (40, 8, 3), (2**35 - 20, 0, 0), (1, 2)),
    "features shared over time": (2**32, (9, 2**25, 130), (3, 4, 130), (6, 2**32 // 130 - 1, 0), (0,)),
    "normal blocks": (2**34, (2**30, 48), (4, 21), (2**34 // 48 - 1, 27), ()),
    "the last rows": (2**64 - 1, (2**40, 2**24), (3, 37), (2**40 - 3, 2**24 - 37), ()),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shard", SHARDS)
def test_shards_on_both_sides_of_a_wrap(shard: str, dtype: torch.dtype) -> None:
    """torch 2.13, ffpa-attn (Triton): as above, where rows are not one run and where axes share a draw."""
    edge, whole, shape, offset, shared = SHARDS[shard]
    block: dict[str, Any] = {"offset": offset, "global_shape": whole, "broadcast_dims": shared}
    positions = place(shape, **block).positions()
    assert positions.min() < edge <= positions.max()
    kept = torch.from_numpy(bernoulli(KEY, 0.5, shape, **block))
    x = torch.linspace(1, 2, math.prod(shape)).reshape(shape).to(dtype).requires_grad_()
    y = drop(x, 0.5, key=KEY, **block)
    assert torch.equal(y, torch.where(kept, 2 * x, 0))
    assert torch.equal(torch.autograd.grad(y, x, x)[0], y)
    across = x.detach().transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(drop(across, 0.5, key=KEY, **block), y)
    ones = torch.ones(shape, dtype=torch.float64)
    factor = gaussian(ones, 1.0, key=KEY, **block).numpy()
    assert np.abs(factor - 1 - normal(KEY, shape, **block)).max() <= 1e-6


BATCHED = [row for row in VARIANTS if row.keyed and row.law != "gaussian" and "B" in row.layout.split()]


@pytest.mark.parametrize("edge", [2**31, 2**32, 2**35])
@pytest.mark.parametrize("row", BATCHED, ids=lambda row: row.name)
def test_a_layer_s_rows_on_both_sides_of_a_wrap(row: Variant, edge: int) -> None:
    """torch 2.13, ffpa-attn (Triton): as above, for layers whose rows lie that far in a batch of 2**40."""
    layout = row.layout.split()
    shared = [axis for axis in row.shared.split() if axis in layout]
    sizes = dict(zip(layout, (5, 4, 3, 2, 2), strict=False)) | {"B": 20}
    draws = math.prod(sizes[axis] for axis in layout if axis not in (*shared, "B"))
    first = edge // draws - 10
    shape = tuple(sizes[axis] for axis in layout)
    x = torch.full(shape, math.nan)
    layer = row.module(p=0.5)
    with thinned.stream(layer, 7) as stream, stream.rows(range(first, first + 20), 2**40):
        kept = layer(x).isnan().numpy()
    block: dict[str, Any] = {
        "broadcast_dims": [layout.index(axis) for axis in shared],
        "offset": [first if axis == "B" else 0 for axis in layout],
        "global_shape": [2**40 if axis == "B" else sizes[axis] for axis in layout],
    }
    positions = place(shape, **block).positions()
    assert positions.min() < edge <= positions.max()
    assert np.array_equal(kept, bernoulli(stream.key(""), 0.5, shape, **block))


@pytest.mark.dropping
def test_no_rows_repeat(keyed: Variant) -> None:
    """xformers (Triton): seeds depended on the column block alone, so that every 32 rows had the same mask.

    All 160 rows of 64 draws differ, and rows that are k apart agree in half of the places, within five standard
    deviations, for each k up to 128.
    """
    layout, shared = keyed.layout.split(), keyed.shared.split()
    free = [axis for axis in layout if axis not in shared]
    sizes = dict.fromkeys(shared, 2) | dict.fromkeys(free, 1) | dict(zip(free, (160, 64), strict=False))
    if len(free) == 1:
        sizes[free[0]] = 160 * 64
    x = torch.full([sizes[axis] for axis in layout], math.nan)
    kept = keyed.module(p=0.5)(x, key=KEY).isnan()
    rows = kept[tuple(0 if axis in shared else slice(None) for axis in layout)].reshape(160, 64)
    assert len(rows.unique(dim=0)) == 160
    for apart in range(1, 129):
        pairs = (160 - apart) * 64
        assert abs((rows[apart:] == rows[:-apart]).sum().item() - pairs / 2) < 5 * math.sqrt(pairs / 4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("start", [0, 1, 3, 8, 13])
def test_every_length_at_every_alignment(start: int, dtype: torch.dtype) -> None:
    """Transformer Engine 2.20: the number of elements must be a multiple of 16. Here lengths 0 to 200, each at an
    address and at a position of its own alignment, and nothing outside is touched."""
    kept = torch.from_numpy(bernoulli(KEY, 0.5, (start + 400,)))
    memory = torch.arange(1, 300, dtype=torch.float32).to(dtype)
    for length in range(201):
        address, position = length * 7 % 64, start + length * 5 % 16
        part, before, after = slice(address, address + length), slice(0, address), slice(address + length, None)
        found = drop(memory[part], 0.5, key=KEY, offset=(position,), global_shape=(start + 400,))
        expected = torch.where(kept[position : position + length], 2 * memory[part], 0)
        assert torch.equal(found, expected), f"length {length}"
        own = memory.clone()
        dropout(own[part], 0.5, inplace=True, key=KEY)
        assert torch.equal(own[part], torch.where(kept[:length], 2 * memory[part], 0)), f"length {length}"
        assert torch.equal(own[before], memory[before])
        assert torch.equal(own[after], memory[after])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_do_not_change_a_mask(keyed: Variant) -> None:
    """AiDotNet, MXNet: masks depend on how many threads there are. Sizes no thread count divides, values and
    gradients."""
    shape = {2: (509, 301), 3: (61, 53, 47), 4: (31, 29, 13, 13), 5: (13, 11, 7, 11, 13)}
    x = torch.linspace(1, 2, math.prod(shape[len(keyed.layout.split())])).reshape(shape[len(keyed.layout.split())])
    results: list[tuple[Tensor, Tensor]] = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        leaf = x.clone().requires_grad_()
        y = keyed.module(p=0.3)(leaf, key=KEY)
        results.append((y.detach(), torch.autograd.grad(y, leaf, x)[0]))
    assert all(torch.equal(a, b) for result in results[1:] for a, b in zip(result, results[0], strict=True))


FEWER_THREADS = """
import numpy, torch
from thinned.noise import bernoulli
from thinned.ops import drop
torch.set_num_threads(2)
x = torch.ones(2**20 + 13)
torch.full_like(x, 7)  # memory that is not zero, for whoever leaves a part of it as it was
assert numpy.array_equal(drop(x, 0.3, key=5).numpy() != 0, bernoulli(5, 0.3, x.shape))
"""


@pytest.mark.long
def test_fewer_threads_than_asked_for_do_all_of_the_work() -> None:
    """AiDotNet: some of a mask is never generated. OpenMP may start fewer threads than it is asked to."""
    limited = os.environ | {"OMP_THREAD_LIMIT": "1"}
    subprocess.run([sys.executable, "-c", FEWER_THREADS], env=limited, check=True)


def test_a_large_field_is_the_oracle_s_in_every_thread_s_part() -> None:
    """AiDotNet: a kernel whose mask was never generated dropped everything. 2**20 + 13 units, each against NumPy."""
    x = torch.ones(2**20 + 13)
    assert np.array_equal(drop(x, 0.3, key=KEY).numpy() != 0, bernoulli(KEY, 0.3, x.shape))
