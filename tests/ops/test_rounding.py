"""Every floating and complex dtype: computed in float32 at least and rounded once, selected and never multiplied."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from thinned.noise import bernoulli, realised, scale
from thinned.noise.formulas import numbers
from thinned.ops import drop, gaussian

pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning")

HALF = [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
DTYPES = [*HALF, torch.float32, torch.float64, torch.complex32, torch.complex64, torch.complex128]
WIDE = {torch.float64: torch.float64, torch.complex128: torch.complex128}


def wide(dtype: torch.dtype) -> torch.dtype:
    return WIDE.get(dtype, torch.complex64 if dtype.is_complex else torch.float32)


def values(dtype: torch.dtype, *shape: int) -> Tensor:
    plain = torch.linspace(-3, 5, math.prod(shape), dtype=torch.float64).reshape(shape)
    return (plain * (1 + 0.7j) if dtype.is_complex else plain).to(wide(dtype)).to(dtype)


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in every bit, for dtypes too that have no comparison; of the zeros, -0.0 equals 0.0."""
    assert a.dtype == b.dtype
    return torch.equal(a.to(wide(a.dtype)), b.to(wide(b.dtype)))


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_drop_scales_in_32_bits_and_rounds_once(dtype: torch.dtype, p: float) -> None:
    x = values(dtype, 37, 11)
    kept = torch.from_numpy(bernoulli(5, p, (37, 11)))
    zero = torch.zeros((), dtype=wide(dtype))
    expected = torch.where(kept, x.to(wide(dtype)) * torch.tensor(scale(p), dtype=torch.float64), zero).to(dtype)
    output = drop(x, p, key=5)
    assert same(output, expected)
    assert not torch.where(kept, zero, output.to(wide(dtype))).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gaussian_rounds_once(dtype: torch.dtype) -> None:
    x = values(dtype, 37, 11)
    factor = gaussian(torch.ones(37, 11, dtype=torch.float64), 0.3, key=5)
    real = torch.float64 if wide(dtype) in WIDE else torch.float32
    assert same(gaussian(x, 0.3, key=5), (x.to(wide(dtype)) * factor.to(real)).to(dtype))


def all_mantissas(dtype: torch.dtype) -> tuple[Tensor, float]:
    """Every value of the dtype in [1, 2), and their spacing."""
    spacing = torch.finfo(dtype).eps
    return torch.arange(1, 2, spacing, dtype=torch.float64).to(dtype), spacing


def keep_all(x: Tensor, p: float) -> Tensor:
    """What drop makes of survivors, for all units at once."""
    law = torch.tensor([0.0, scale(p), 0.0, 0.0], dtype=torch.float64)
    output: Tensor = torch.ops.thinned.drop(x, torch.tensor(1), law, False, [1], 0)
    return output


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_within_half_a_unit(dtype: torch.dtype) -> None:
    """Of the exact product, with 2**-12 units for float32's own rounding; a scale rounded to the dtype misses that."""
    x, spacing = all_mantissas(dtype)
    worst = {True: 0.0, False: 0.0}
    for p in (0.05, 0.1, 0.15, 0.2, 0.3, 0.45):
        exact = x.double() / (1 - realised(p))
        unit = torch.where(exact < 2, spacing, 2 * spacing)
        for ours, output in ((True, keep_all(x, p)), (False, x * torch.tensor(scale(p), dtype=dtype))):
            worst[ours] = max(worst[ours], ((output.double() - exact).abs() / unit).max().item())
    assert worst[True] <= 0.5 + 2**-12 < worst[False]


@pytest.mark.parametrize("p", [0.1, 0.3, 0.45])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_keeps_the_mean(dtype: torch.dtype, p: float) -> None:
    """Roundings go up as often as down: over all N mantissas the mean error is within 5 standard deviations of N
    independent roundings to a unit u, 5 u / sqrt(12 N). A scale that is itself rounded to the dtype misses that at
    p = 0.1."""
    x, spacing = all_mantissas(dtype)
    exact = x.double() / (1 - realised(p))
    bound = 5 * 2 * spacing / math.sqrt(12 * x.numel())
    assert abs((keep_all(x, p).double() - exact).mean()) < bound
    if p == 0.1:
        assert abs(((x * torch.tensor(scale(p), dtype=dtype)).double() - exact).mean()) > bound


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d not in HALF[2:]], ids=str)
@pytest.mark.parametrize("poison", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("law", ["inverted", "alpha"])
def test_dropped_inf_and_nan_are_gone(dtype: torch.dtype, poison: float, law: str) -> None:
    x = torch.full((64,), poison, dtype=torch.float64).to(wide(dtype)).to(dtype).requires_grad_()
    kept = torch.from_numpy(bernoulli(5, 0.5, (64,)))
    output = drop(x, 0.5, key=5, law=law)
    fill = torch.tensor(numbers(law, 0.5)[3], dtype=torch.float64).to(dtype).to(wide(dtype))
    (gradient,) = torch.autograd.grad(output, x, torch.full_like(x, poison))
    wide_output, wide_gradient = output.detach().to(wide(dtype)), gradient.to(wide(dtype))
    assert (wide_output[~kept] == fill).all()
    assert (wide_gradient[~kept] == 0).all()
    assert not torch.isfinite(wide_output[kept]).any()
    everything = drop(x, 1.0, key=5, law=law)
    (gradient,) = torch.autograd.grad(everything, x, torch.full_like(x, poison))
    assert (everything.detach().to(wide(dtype)) == 0).all()
    assert (gradient.to(wide(dtype)) == 0).all()


def test_shift_and_fill() -> None:
    kept = torch.from_numpy(bernoulli(5, 0.5, (40,)))
    x = torch.linspace(-1, 1, 40).requires_grad_()
    output = drop(x, 0.5, key=5, law="alpha")
    _, gain, shift, fill = numbers("alpha", 0.5)
    assert torch.equal(output, torch.where(kept, x * gain + shift, torch.tensor(fill)))
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert torch.equal(gradient, torch.where(kept, torch.tensor(gain), 0.0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_to_drop_returns_the_input_itself(dtype: torch.dtype) -> None:
    x = values(dtype, 5)
    state = torch.get_rng_state()
    assert drop(x, 0.0) is x
    assert drop(x, 0) is x
    assert gaussian(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), state), "and draws nothing"


def test_a_rate_too_small_for_16_bits_keeps_all_and_is_an_operator_call_still() -> None:
    x = torch.ones(1000)
    output = drop(x, 2**-18, key=5)
    assert output is not x
    assert torch.equal(output, x)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)])
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_no_axes_and_no_elements(shape: tuple[int, ...], p: float) -> None:
    x = torch.ones(shape, requires_grad=True)
    for operator in (drop, gaussian):
        output = operator(x, p, key=7)
        assert output.shape == shape
        output.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == shape
    assert torch.equal(drop(x, 0.5, key=7) != 0, torch.from_numpy(bernoulli(7, 0.5, shape)))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_what_has_no_gradient_is_refused_where_there_is_noise(dtype: torch.dtype, amount: float) -> None:
    x = torch.ones(4, dtype=dtype)
    for operator in (drop, gaussian):
        name = operator.__name__
        if amount:
            with pytest.raises(
                TypeError, match=rf"`{name}`: `input` must be floating-point or complex\. Got {dtype}\."
            ):
                operator(x, amount, key=1)
        else:
            assert operator(x, amount, key=1) is x
        with pytest.raises(TypeError, match=rf"`{name}`: `input` must be a tensor\. Got list\."):
            operator([1.0], amount, key=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sigma", "error"),
    [
        (-1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("0.1", TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_bad_deviations_are_refused(sigma: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"`gaussian`: `sigma` must be a finite number, 0 or more"):
        gaussian(torch.ones(2), sigma, key=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p", "error"), [(20, ValueError), (-0.1, ValueError), (math.nan, ValueError), ("0.5", TypeError)]
)
def test_bad_rates_are_refused(p: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"`drop`: `p` must be a number in \[0, 1\]"):
        drop(torch.ones(2), p, key=1)  # type: ignore[arg-type]
