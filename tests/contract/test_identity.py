"""p = 0, p = 1 and evaluation: exact results, exact gradients, no noise drawn."""

from __future__ import annotations

import pytest
import torch

from thinned.nn.variants import Variant


def sample(variant: Variant) -> torch.Tensor:
    """A real-valued input with the variant's axes, with an inf and a nan in it."""
    shape = [6, 5, 4, 3, 2][: len(variant.layout.split())]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x.view(-1)[:2] = torch.tensor([float("inf"), float("nan")])
    return x


def test_p_zero_returns_the_input_itself_and_draws_nothing(keyed: Variant) -> None:
    x = sample(keyed)
    before = torch.get_rng_state()
    assert keyed.module(p=0.0)(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_returns_the_input_itself_and_draws_nothing(keyed: Variant) -> None:
    x = sample(keyed)
    before = torch.get_rng_state()
    assert keyed.module(p=0.5).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_p_one_gives_exact_zeros_and_zero_gradients_whatever_the_input(keyed: Variant) -> None:
    x = sample(keyed).requires_grad_()
    y = keyed.module(p=1.0)(x)
    assert torch.equal(y, torch.zeros_like(y))
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.having("scaling")
def test_classic_evaluation_multiplies_by_the_keep_probability(keyed: Variant) -> None:
    x = torch.nan_to_num(sample(keyed), 0.0, 1.0)
    layer = keyed.module(p=0.25, scaling="classic").eval()
    torch.testing.assert_close(layer(x), 0.75 * x, rtol=0, atol=0)


@pytest.mark.dropping
def test_a_dropped_inf_or_nan_is_gone(keyed: Variant) -> None:
    x = torch.full(sample(keyed).shape, float("nan"))
    y = keyed.module(p=0.5)(x, key=1)
    dropped = ~y.isnan()
    assert dropped.any()
    assert not dropped.all()
    assert y[dropped].unique().numel() == 1
