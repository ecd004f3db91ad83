"""One pass for `residual + dropout(input)`: the bits of the two passes, in both directions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import thinned.nn
from thinned.nn.functional import dropout, dropout_add, stochastic_depth

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64)


def pair(dtype: torch.dtype, shape: tuple[int, ...] = (5, 7, 33)) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x, residual = (torch.randn(shape, generator=draw).to(dtype).requires_grad_() for _ in range(2))
    return x, residual


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_two_passes(dtype: torch.dtype, p: float, scaling: str, training: bool) -> None:
    x, residual = pair(dtype)
    one = dropout_add(x, residual, p, training, scaling=scaling, key=3)
    two = residual + dropout(x, p, training, scaling=scaling, key=3)
    assert one.dtype == dtype
    assert torch.equal(one, two)
    incoming = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found, expected = (torch.autograd.grad(y, (x, residual), incoming) for y in (one, two))
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("needs", [(True, False), (False, True), (False, False)])
def test_only_what_asks_for_a_gradient_gets_one(needs: tuple[bool, bool]) -> None:
    x, residual = (t.detach().requires_grad_(n) for t, n in zip(pair(torch.float32), needs, strict=True))
    y = dropout_add(x, residual, 0.5, key=3)
    assert y.requires_grad == any(needs)
    if y.requires_grad:
        y.sum().backward()
    assert (x.grad is not None, residual.grad is not None) == needs


def test_other_layouts_and_shapes_of_the_residual() -> None:
    x, residual = (t.detach() for t in pair(torch.float32))
    expected = residual + dropout(x, 0.5, key=3)
    turned = residual.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert torch.equal(dropout_add(x, turned, 0.5, key=3), expected)
    row = residual[:, :1]
    assert torch.equal(dropout_add(x, row, 0.5, key=3), row + dropout(x, 0.5, key=3))
    assert torch.equal(dropout_add(x, residual.double(), 0.5, key=3), residual.double() + dropout(x, 0.5, key=3))


def test_second_derivatives() -> None:
    x, residual = pair(torch.float64, (3, 4))
    assert torch.autograd.gradcheck(lambda x, r: dropout_add(x, r, 0.4, key=3), (x, residual), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x, r: dropout_add(x, r, 0.4, key=3) ** 2, (x, residual))


def test_the_module_is_the_function_and_can_be_stochastic_depth() -> None:
    x, residual = pair(torch.float32)
    layer = thinned.nn.DropoutAdd(0.5)
    assert torch.equal(layer(x, residual, key=3), dropout_add(x, residual, 0.5, key=3))
    assert torch.equal(layer.eval()(x, residual), residual + x)
    whole = thinned.nn.DropoutAdd(0.5, broadcast_dims=(1, 2))
    assert torch.equal(whole(x, residual, key=3), residual + stochastic_depth(x, 0.5, key=3))
    with pytest.raises(ValueError, match=r"`DropoutAdd`: `p` must be a number in \[0, 1\]. Got 20"):
        layer.p = 20


def test_a_seed_repeats_and_calls_differ() -> None:
    x, residual = pair(torch.float32)
    layer = thinned.nn.DropoutAdd(0.5)
    torch.manual_seed(1)
    first, second = layer(x, residual), layer(x, residual)
    torch.manual_seed(1)
    assert torch.equal(layer(x, residual), first)
    assert not torch.equal(first, second)


def test_compiled_is_eager() -> None:
    x, residual = pair(torch.float32)
    layer = thinned.nn.DropoutAdd(0.5)
    compiled = torch.compile(lambda x, r: layer(x, r, key=3), backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, residual), layer(x, residual, key=3))
