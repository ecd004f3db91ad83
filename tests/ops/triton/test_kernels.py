"""The kernels' bits, in Triton's interpreter: the expected values of tests/vectors, and the eager backend's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.ops.triton.interpreted import kernels_interpreted
from tests.ops.triton.layouts import ALPHA, INVERTED, LAYOUTS, TYPES, given, numbers, same
from tests.vectors import read

from thinned.noise import bernoulli, normal, place
from thinned.noise.law import LEVELS
from thinned.ops import eager, gpu
from thinned.ops.philox import signed
from thinned.ops.triton.launch import noise_into

DROP, GAUSSIAN, UNIFORM = range(3)


@pytest.fixture(autouse=True)
def interpreted() -> Iterator[None]:
    with kernels_interpreted():
        yield


def first_of_each(cases: Sequence[Any]) -> list[object]:
    """One case of each kind of block; a run of `make test-rest` has all."""
    seen, marked = set(), list[object]()
    for case in cases:
        whole, start = case.block["global_shape"], case.block["offset"]
        kind = (
            len(case.shape),
            0 in case.shape,
            case.block["broadcast_dims"],
            whole != case.shape,
            max(start, default=0) > 2**31,
        )
        marked.append(pytest.param(case, id=str(case), marks=[pytest.mark.long] if kind in seen else []))
        seen.add(kind)
    return marked


@pytest.mark.parametrize("case", first_of_each(read.masks()))
def test_masks(case: read.Mask) -> None:
    where = place(case.shape, **case.block)
    x = torch.ones(case.shape)
    y = gpu.drop(x, torch.tensor(signed(case.key)), case.threshold, case.scale, 0.0, 0.0, where.strides, where.base)
    assert case.agrees(y.numpy() != 0)
    assert set(y.unique().tolist()) <= {0.0, case.scale}


@pytest.mark.parametrize("case", first_of_each(read.fields()))
def test_fields(case: read.Field) -> None:
    where = place(case.shape, **case.block)
    x, key = torch.ones(case.shape, dtype=torch.float64), torch.tensor(signed(case.key))
    noise = gpu.gaussian(x, key, 1.0, where.strides, where.base).numpy() - 1.0
    assert np.abs(noise - case.normal).max(initial=0.0) <= 1e-6
    uniform = gpu.uniform(x, key, where.strides, where.base).numpy()
    assert np.array_equal(uniform, np.broadcast_to(np.minimum(case.uniform, 1.0 - 2.0**-24), case.shape))


def test_the_generator_s_known_answers() -> None:
    """The published answers whose counter has the form of ours, by the words of a block."""
    for counter, key, output in read.known_answers():
        if counter[2] == 0 and counter[3] == 0:
            block = counter[0] | counter[1] << 32
            words = np.array(output, dtype="<u4").view("<u2")
            for threshold in (1, 30000, 65535):
                y = torch.empty(8)
                law = (threshold, 1.0, 0.0, 0.0)
                noise_into(y, torch.ones(8), None, key, DROP, law, (1,), block * 8 % 2**64)
                assert np.array_equal(y.numpy() != 0, words >= threshold)
            return
    pytest.fail("no answer has such a counter")


def test_normal_numbers_agree_closely() -> None:
    """To 1e-10, a ten-thousandth of what the contract allows, with words at the ends of their range among them."""
    y = torch.empty(4_003, dtype=torch.float64)
    noise_into(y, torch.ones_like(y), None, 7, GAUSSIAN, (0, 1.0, 0.0, 0.0), (1,), 2**34)
    expected = normal(7, (4_003,), offset=(2**34,), global_shape=(2**35,))
    assert np.abs(y.numpy() - 1.0 - expected).max() < 1e-10


def layouts() -> list[object]:
    """Every layout in bfloat16, and in the other types in a run of `make test-rest`."""
    return [
        pytest.param(dtype, name, id=f"{name}-{dtype}", marks=[] if dtype is torch.bfloat16 else [pytest.mark.long])
        for dtype in TYPES
        for name in LAYOUTS
    ]


@pytest.mark.parametrize(("dtype", "name"), layouts())
def test_every_layout(dtype: torch.dtype, name: str) -> None:
    """A drop; and the affine map of alpha dropout, plus a residual of other strides, by a key in memory."""
    x, where = given(name, dtype)
    key, strides, base = torch.tensor(77), [signed(step) for step in where.strides], signed(where.base)
    y = gpu.drop(x, key, *INVERTED, strides, base)
    expected = eager.drop(x, key, *INVERTED, strides, base)
    assert same(y, expected)
    assert y.stride() == torch.empty_like(expected).stride()
    residual, z = numbers(tuple(x.shape), dtype, 1), torch.empty_like(y)
    noise_into(z, x, residual, key, DROP, ALPHA, where.strides, where.base)
    assert same(z, residual + eager.drop(x, key, *ALPHA, strides, base))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type(dtype: torch.dtype) -> None:
    """A row, in place, by the map of alpha dropout; values that round differently if product and sum are fused."""
    x, where = given("an end that is no block", dtype)
    expected = eager.drop(x, torch.tensor(5), *ALPHA, where.strides, where.base)
    noise_into(x, x, None, 5, DROP, ALPHA, where.strides, where.base)
    assert same(x, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["an end that is no block", "shared by time, rows no blocks", "channels last"])
def test_the_other_laws(dtype: torch.dtype, name: str) -> None:
    x, where = given(name, dtype)
    key, strides, base = torch.tensor(77), [signed(step) for step in where.strides], signed(where.base)
    assert same(gpu.uniform(x, key, strides, base), eager.uniform(x, key, strides, base))
    found, expected = gpu.gaussian(x, key, 0.5, strides, base), eager.gaussian(x, key, 0.5, strides, base)
    torch.testing.assert_close(found, expected, rtol=0.008 if dtype is torch.bfloat16 else 3e-7, atol=0, equal_nan=True)


@pytest.mark.parametrize("threshold", [0, 1, 65535, LEVELS])
def test_levels_at_the_ends(threshold: int) -> None:
    x = torch.ones(64)
    y = gpu.drop(x, torch.tensor(3), threshold, 2.0, 0.0, 0.0, (1,), 0)
    assert torch.equal(y, eager.drop(x, torch.tensor(3), threshold, 2.0, 0.0, 0.0, (1,), 0))


def test_one_key_a_row() -> None:
    """The operator's own interface, as vmap reaches it."""
    x, keys = torch.ones(2, 3, 5, 4), torch.arange(6).reshape(2, 3)
    y = gpu.drop(x, keys, *INVERTED, (0, 0, 4, 1), 0)
    for row in np.ndindex(2, 3):
        assert np.array_equal(y[row].numpy() != 0, bernoulli(int(keys[row]), 0.3, (5, 4)))


def test_complex_numbers_and_eight_bits_go_to_the_eager_backend() -> None:
    for dtype in (torch.complex64, torch.float8_e5m2):
        x = torch.ones(16).to(dtype)
        y = gpu.drop(x, torch.tensor(3), *INVERTED, (1,), 0)
        assert torch.equal(y.view(torch.uint8), eager.drop(x, torch.tensor(3), *INVERTED, (1,), 0).view(torch.uint8))
