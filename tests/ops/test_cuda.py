"""A GPU's masks are the CPU's, bit for bit."""

from __future__ import annotations

import pytest
import torch
from tests.vectors import read

from thinned.ops import drop, gaussian

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU: torch.cuda.is_available() is False"
)


def test_masks() -> None:
    for case in read.masks():
        output = drop(torch.ones(case.shape, device="cuda"), case.p, key=case.key, **case.block)
        assert case.agrees((output != 0).cpu().numpy()), case


def test_values_and_gradients() -> None:
    double = torch.linspace(-3, 5, 7 * 9 * 11 * 13, dtype=torch.float64).reshape(7, 9, 11, 13)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64):
        plain = double.to(dtype)
        for layout in (torch.contiguous_format, torch.channels_last):
            x = plain.cuda().contiguous(memory_format=layout).requires_grad_()
            output = drop(x, 0.3, key=5)
            assert output.stride() == x.stride()
            assert torch.equal(output.detach().cpu(), drop(plain, 0.3, key=5))
            (gradient,) = torch.autograd.grad(output, x, x.detach())
            assert torch.equal(gradient.cpu(), drop(plain, 0.3, key=5))


def test_gaussian_agrees_within_the_contract() -> None:
    ones = torch.ones(10_007, dtype=torch.float64)
    assert (gaussian(ones.cuda(), 1.0, key=5).cpu() - gaussian(ones, 1.0, key=5)).abs().max() <= 1e-6


def test_key_comes_from_the_cpu_s_generator() -> None:
    torch.manual_seed(3)
    on_cpu = drop(torch.ones(1000), 0.5)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    cuda_state = torch.cuda.get_rng_state()
    on_gpu = drop(torch.ones(1000, device="cuda"), 0.5)
    assert torch.equal(on_gpu.cpu(), on_cpu)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.cuda.get_rng_state(), cuda_state)
    own = torch.Generator("cuda").manual_seed(1)
    first = drop(torch.ones(1000, device="cuda"), 0.5, generator=own)
    assert torch.equal(first, drop(torch.ones(1000, device="cuda"), 0.5, generator=own.manual_seed(1)))
