"""What others get wrong in half precision, and where a mask multiplies instead of selecting."""

from __future__ import annotations

import math

import pytest
import torch
from tests.regressions.example import build, field, repeated, run, sample
from torch import Tensor

from thinned import noise
from thinned.nn.variants import Variant
from thinned.ops import drop

HALF = [torch.float16, torch.bfloat16]
zeroing = pytest.mark.having("scaling")  # the Bernoulli variants: kept values are x / q, dropped ones 0


def mantissas(dtype: torch.dtype) -> Tensor:
    """Every value of the dtype in [1, 2)."""
    return torch.arange(1, 2, torch.finfo(dtype).eps, dtype=torch.float64).to(dtype)


@pytest.mark.dropping
def test_a_float16_map_with_more_survivors_than_float16_can_count(keyed: Variant) -> None:
    """torchvision 0.28: DropBlock in fp16 gives zeros, as the scale divides by a count above 65504, which is inf."""
    x = field(keyed, 1 << 17, torch.float16)
    y = keyed.module(p=0.1)(x, key=4)
    wide = keyed.module(p=0.1)(x.float(), key=4)
    assert torch.equal(y, wide.half())
    assert (y == wide.max().half()).sum() > 65504


@zeroing
@pytest.mark.parametrize("p", [0.001, 0.1, 0.3])
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_kept_half_is_the_nearest_to_the_exact_quotient(keyed: Variant, dtype: torch.dtype, p: float) -> None:
    """torch 2.13: 1 / q is itself rounded to bfloat16 (p = 0.1: 1.109375), and the error of it stays in every mean.

    Bound: half a unit of the exact quotient, and 2**-12 units for float32's own rounding. Where half a unit is more
    than 1 / q adds, as in bfloat16 at p = 0.001, the nearest value is x itself: no rounding of the result does better.
    """
    x = repeated(keyed, mantissas(dtype))
    y = keyed.module(p=p)(x, key=4)
    kept = y != 0
    exact = x.double() / (1 - noise.realised(p))
    unit = torch.finfo(dtype).eps * torch.where(exact < 2, 1.0, 2.0)
    assert kept.sum() >= x.shape[-1]
    assert ((y.double() - exact).abs() / unit)[kept].max() <= 0.5 + 2**-12


@zeroing
def test_float16_is_compensated_at_a_thousandth(keyed: Variant) -> None:
    """torch 2.13: a scale of 1.001 in half precision can be 1.0, and then every mean is short by p.

    Bound: N independent roundings to a unit u, of the N mantissas, have a mean error within 5 u / sqrt(12 N).
    """
    x = repeated(keyed, mantissas(torch.float16))
    y = keyed.module(p=0.001)(x, key=4)
    kept = y != 0
    exact = x.double() / (1 - noise.realised(0.001))
    bound = 5 * 2 * torch.finfo(torch.float16).eps / math.sqrt(12 * x.shape[-1])
    assert kept.sum() > 0.9 * x.numel()
    assert (y.double() - exact)[kept].mean().abs() < bound < (x.double() - exact)[kept].mean().abs()


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_ties_go_to_the_even_neighbour(dtype: torch.dtype) -> None:
    """torch 2.13: as above, an error that leans to one side stays in every mean; here that of a careless rounding.

    At the first sixteen rates where some mantissa's product lies in the middle of two neighbours.
    """
    x = mantissas(dtype)
    levels = torch.arange(1, 32768, 1 if dtype == torch.bfloat16 else 16)
    products = x.float()[:, None] * torch.tensor([noise.scale(level / 65536) for level in levels.tolist()])
    spare = 1 << 15 if dtype == torch.bfloat16 else 1 << 12  # the middle, in the bits that the dtype has not
    tied = products.view(torch.int32) % (2 * spare) == spare
    for column in tied.any(0).nonzero().flatten().tolist()[:16]:
        y = drop(x.repeat(8), levels[column].item() / 65536, key=4).reshape(8, -1)
        kept = y != 0
        assert kept[:, tied[:, column]].any()
        assert torch.equal(y[kept], products[:, column].to(dtype).expand_as(y)[kept])
    assert tied.any(0).sum() >= 16


@pytest.mark.dropping
@pytest.mark.parametrize("poison", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALF], ids=str)
def test_a_dropped_inf_or_nan_is_gone_from_value_and_gradient(
    keyed: Variant, dtype: torch.dtype, poison: float
) -> None:
    """torch 2.13: mask * x makes a dropped inf nan, forward and backward; a dropped negative number is -0.0."""
    x = torch.full_like(field(keyed, 500, dtype), poison).requires_grad_()
    for p in (0.5, 1.0):
        y = keyed.module(p=p)(x, key=4)
        (gradient,) = torch.autograd.grad(y, x, torch.full_like(x, poison))
        dropped = y.isfinite()
        assert dropped.any()
        assert dropped.all() == (p == 1.0)
        assert y[dropped].unique().numel() == 1
        assert torch.equal(gradient.isfinite(), dropped)
        zeros = gradient[dropped] if keyed.law != "bernoulli" else torch.cat((gradient[dropped], y[dropped]))
        assert not zeros.any()
        assert not zeros.signbit().any()


@zeroing
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALF], ids=str)
def test_subnormal_values_are_kept(keyed: Variant, dtype: torch.dtype) -> None:
    """AVX-512's conversion to bfloat16 takes subnormals for zero, and a kernel in fast arithmetic takes all of them."""
    tiny, eps = torch.finfo(dtype).tiny, torch.finfo(dtype).eps
    steps = torch.arange(1, 1 / eps if dtype in HALF else 2048, dtype=torch.float64)
    values = (steps * tiny * eps).to(dtype)
    x = repeated(keyed, values).clone().requires_grad_()
    y = keyed.module(p=0.5)(x, key=4)
    kept = keyed.module(p=0.5)(torch.ones_like(x), key=4) > 0
    assert torch.equal(y, torch.where(kept, 2 * x, 0))
    assert torch.equal(torch.autograd.grad(y, x, x)[0], y)


def test_a_call_does_not_decide_the_next_one_s_dtype(variant: Variant) -> None:
    """baal 2.1: a cached mask keeps its dtype, so that float16 after float32 gives float32; dropblock 0.3 (PyPI)
    gives float32 for half precision in any case."""
    module = build(variant, 0.5)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float32):
        assert run(module.to(dtype), sample(variant, dtype)).dtype == dtype
