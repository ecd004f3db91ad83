"""A GPU's masks are the CPU's, bit for bit."""

from __future__ import annotations

import pytest
import torch
from tests.vectors import read
from torch import Tensor

from thinned.ops import drop, gaussian

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU: torch.cuda.is_available() is False"
)


def test_masks() -> None:
    for case in read.masks():
        output = drop(torch.ones(case.shape, device=DEVICE), case.p, key=case.key, **case.block)
        assert case.agrees((output != 0).cpu().numpy()), case


def test_fields() -> None:
    for case in read.fields():
        ones = torch.ones(case.shape, dtype=torch.float64, device=DEVICE)
        noise = gaussian(ones, 1.0, key=case.key, **case.block).cpu() - 1
        expected = torch.from_numpy(case.normal).broadcast_to(case.shape)
        assert torch.allclose(noise, expected, rtol=0, atol=1e-6), case


def test_values_and_gradients() -> None:
    double = torch.linspace(-3, 5, 7 * 9 * 11 * 13, dtype=torch.float64).reshape(7, 9, 11, 13)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64):
        plain = double.to(dtype)
        for layout in (torch.contiguous_format, torch.channels_last):
            x = plain.to(DEVICE).contiguous(memory_format=layout).requires_grad_()
            output = drop(x, 0.3, key=5)
            assert output.stride() == x.stride()
            assert torch.equal(output.detach().cpu(), drop(plain, 0.3, key=5))
            (gradient,) = torch.autograd.grad(output, x, x.detach())
            assert torch.equal(gradient.cpu(), drop(plain, 0.3, key=5))


def test_gaussian_agrees_within_the_contract() -> None:
    ones = torch.ones(10_007, dtype=torch.float64)
    assert (gaussian(ones.to(DEVICE), 1.0, key=5).cpu() - gaussian(ones, 1.0, key=5)).abs().max() <= 1e-6


def test_key_comes_from_the_cpu_s_generator() -> None:
    torch.manual_seed(3)
    on_cpu = drop(torch.ones(1000), 0.5)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    cuda_state = torch.cuda.get_rng_state()
    on_gpu = drop(torch.ones(1000, device=DEVICE), 0.5)
    assert torch.equal(on_gpu.cpu(), on_cpu)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.cuda.get_rng_state(), cuda_state)
    own = torch.Generator(DEVICE).manual_seed(1)
    first = drop(torch.ones(1000, device=DEVICE), 0.5, generator=own)
    assert torch.equal(first, drop(torch.ones(1000, device=DEVICE), 0.5, generator=own.manual_seed(1)))


def test_a_key_and_a_rate_may_lie_on_the_gpu_or_not() -> None:
    x = torch.ones(1000)
    expected = drop(x, 0.25, key=7)
    key, p = torch.tensor(7), torch.tensor(0.25)
    for where in ("cpu", DEVICE):
        assert torch.equal(drop(x.to(DEVICE), p.to(where), key=key.to(where)).cpu(), expected)
        assert torch.equal(drop(x, p.to(where), key=key.to(where)), expected)


def test_with_the_gpu_as_torch_s_default_device() -> None:
    expected = drop(torch.ones(1000), 0.25, key=7)
    torch.manual_seed(3)
    drawn = drop(torch.ones(1000), 0.25)
    torch.manual_seed(3)
    with torch.device(DEVICE):
        x = torch.ones(1000, requires_grad=True)
        assert x.device.type == DEVICE
        y = drop(x, 0.25, key=7)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(drop(torch.ones(1000), 0.25).cpu(), drawn)
    assert torch.equal(y.detach().cpu(), expected)
    assert torch.equal(gradient.cpu(), expected)


@pytest.mark.parametrize("kind", ["one key a row", "one p a row", "both"])
def test_vmap(kind: str) -> None:
    keys = torch.arange(5) if kind != "one p a row" else torch.full((5,), 7)
    rates = torch.linspace(0.1, 0.9, 5, dtype=torch.float64) if kind != "one key a row" else torch.full((5,), 0.5)
    x = torch.rand(5, 1000, generator=torch.Generator().manual_seed(0)) + 1
    y = torch.vmap(lambda x, key, p: drop(x, p, key=key))(x.to(DEVICE), keys, rates)
    for row, key, p, found in zip(x, keys, rates, y.cpu(), strict=True):
        assert torch.equal(found, drop(row, float(p), key=int(key)))


def test_derivatives_of_every_order() -> None:
    x = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def cubes(x: Tensor) -> Tensor:
        return drop(x.pow(3), 0.5, key=3).sum()

    for derivative in (torch.func.grad, torch.func.hessian, torch.func.jacrev):
        torch.testing.assert_close(derivative(cubes)(x.to(DEVICE)).cpu(), derivative(cubes)(x))
    tangent = torch.func.jvp(cubes, (x.to(DEVICE),), (x.to(DEVICE),))[1]
    torch.testing.assert_close(tangent.cpu(), 3 * cubes(x))


ROWS, COLUMNS = 2**15 + 8, 2**16  # more than 2^31 elements
HUGE = 48 * 2**30  # bytes: the eager backend takes about 17 an element


def test_beyond_2_31_elements_nothing_wraps() -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < HUGE:
        pytest.skip(f"needs {HUGE / 2**30:.0f} GiB of free GPU memory: there are {free / 2**30:.0f}")
    x = torch.ones(ROWS, COLUMNS, dtype=torch.bfloat16, device=DEVICE)
    for shape in ((ROWS, COLUMNS), (ROWS * COLUMNS,)):
        y = drop(x.view(shape), 0.3, key=9).view(ROWS, COLUMNS)
        for row in (0, 1, ROWS // 2, 2**15 - 1, 2**15, 2**15 + 1, ROWS - 1):  # row 2^15 starts at 2^31
            ones = torch.ones(1, COLUMNS, dtype=torch.bfloat16)
            expected = drop(ones, 0.3, key=9, offset=(row, 0), global_shape=(ROWS, COLUMNS))
            assert torch.equal(y[row : row + 1].cpu(), expected), row
        assert not torch.equal(y[2**15], y[0])
        del y
    torch.cuda.empty_cache()


def test_a_channel_s_draw_reaches_beyond_2_31_elements() -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < HUGE:
        pytest.skip(f"needs {HUGE / 2**30:.0f} GiB of free GPU memory: there are {free / 2**30:.0f}")
    x = torch.ones(ROWS, COLUMNS, dtype=torch.bfloat16, device=DEVICE)
    y = drop(x, 0.3, key=9, broadcast_dims=(1,))
    column = drop(torch.ones(ROWS, 1, dtype=torch.bfloat16), 0.3, key=9)
    for place in (0, COLUMNS // 2, COLUMNS - 1):
        assert torch.equal(y[:, place : place + 1].cpu(), column)
    del x, y
    torch.cuda.empty_cache()
