"""Each operator is its own backward: any derivative, in any mode and order, is that of its formula, mask fixed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp

from thinned.noise import bernoulli, normal, scale
from thinned.noise.formulas import numbers
from thinned.noise.kernel import kernel
from thinned.ops import drop, gaussian

Map = Callable[[Tensor], Tensor]
KEY = 2**63 + 11
MASK = torch.from_numpy(bernoulli(KEY, 0.4, (3, 4), broadcast_dims=(1,)))
NOISE = torch.from_numpy(normal(KEY, (3, 4)))
ALPHA = numbers("alpha", 0.4)
# Each operator next to its formula with the noise written out.
MAPS: dict[str, tuple[Map, Map]] = {
    "drop": (
        lambda x: drop(x, 0.4, key=KEY, broadcast_dims=(1,)),
        lambda x: torch.where(MASK, x * scale(0.4), 0.0),
    ),
    "drop with constants": (
        lambda x: drop(x, 0.4, key=KEY, broadcast_dims=(1,), law="alpha"),
        lambda x: torch.where(MASK, x * ALPHA[1] + ALPHA[2], ALPHA[3]),
    ),
    "drop of everything": (
        lambda x: drop(x, 1.0, key=KEY, law="alpha"),
        lambda x: torch.where(torch.tensor(False), x, 0.0),
    ),
    "gaussian": (lambda x: gaussian(x, 0.3, key=KEY), lambda x: x * (1 + 0.3 * NOISE)),
}


@pytest.fixture(params=MAPS)
def maps(request: pytest.FixtureRequest) -> tuple[Map, Map]:
    return MAPS[request.param]


@pytest.fixture
def x() -> Tensor:
    return torch.linspace(-1.3, 1.9, 12, dtype=torch.float64).reshape(3, 4)


def cubic(f: Map) -> Map:
    """A scalar function with third derivatives, in which the operator meets its own output."""
    return lambda x: (f(x).sin() * f(x * x + 0.3)).sum()


def test_gradcheck(maps: tuple[Map, Map], x: Tensor) -> None:
    x.requires_grad_()
    assert torch.autograd.gradcheck(
        maps[0], x, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert torch.autograd.gradgradcheck(
        lambda x: maps[0](x).sin(), x, check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True
    )


TRANSFORMS: dict[str, Callable[[Map, Tensor], object]] = {
    "grad": lambda f, x: grad(cubic(f))(x),
    "jvp": lambda f, x: jvp(f, (x,), (x.cos(),)),
    "vjp": lambda f, x: vjp(f, x)[1](x.cos()),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "hessian": lambda f, x: hessian(cubic(f))(x),
    "jvp of grad": lambda f, x: jvp(grad(cubic(f)), (x,), (x.cos(),)),
    "grad of jvp": lambda f, x: grad(lambda x: jvp(cubic(f), (x,), (x.cos(),))[1])(x),
    "jvp of jvp": lambda f, x: jvp(lambda x: jvp(cubic(f), (x,), (x.cos(),))[1], (x,), (x.sin(),)),
    "vjp of vjp": lambda f, x: vjp(lambda x: vjp(cubic(f), x)[1](torch.tensor(1.0).double())[0], x)[1](x.cos()),
    "jacrev of jacfwd": lambda f, x: jacrev(jacfwd(cubic(f)))(x),
    "jacrev of jacrev": lambda f, x: jacrev(jacrev(cubic(f)))(x),
    "jacfwd of jacfwd": lambda f, x: jacfwd(jacfwd(cubic(f)))(x),
    "grad of grad of grad": lambda f, x: grad(lambda x: grad(lambda x: grad(cubic(f))(x).sum())(x).sum())(x),
    "jacfwd of hessian": lambda f, x: jacfwd(hessian(cubic(f)))(x),
    "jacrev of hessian": lambda f, x: jacrev(hessian(cubic(f)))(x),
    "hessian of jvp": lambda f, x: hessian(lambda x: jvp(cubic(f), (x,), (x.cos(),))[1])(x),
    "jvp of jvp of jvp": lambda f, x: jvp(
        lambda x: jvp(lambda x: jvp(cubic(f), (x,), (x.cos(),))[1], (x,), (x.sin(),))[1], (x,), (x.exp(),)
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transform(maps: tuple[Map, Map], x: Tensor, transform: str) -> None:
    found, expected = (TRANSFORMS[transform](f, x) for f in maps)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_third_derivatives_are_not_zero(x: Tensor) -> None:
    """What the comparisons above rest on."""
    for name in ("drop", "drop with constants", "gaussian"):
        assert torch.as_tensor(TRANSFORMS["jacfwd of hessian"](MAPS[name][0], x)).abs().max() > 0.1


def test_backward_three_times(maps: tuple[Map, Map], x: Tensor) -> None:
    results = []
    for f in maps:
        leaf = x.clone().requires_grad_()
        value, found = cubic(f)(leaf), []
        for _ in range(3):
            (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
            found.append(gradient.detach())
            value = (gradient * x.cos()).sum()
        results.append(found)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(8,), (300, 400)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])  # the compiled kernel's, and the other backend's
@pytest.mark.parametrize("operator", [drop, gaussian])
def test_only_the_key_is_saved(operator: Callable[..., Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """And the law: 40 bytes at most, whatever the size, in the forward pass and in a backward pass that is to be
    differentiated again. The compiled kernel's way keeps plain numbers: no tensor at all."""
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    x = torch.ones(shape, requires_grad=True, dtype=dtype)
    incoming = torch.ones(shape, requires_grad=True, dtype=dtype)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = operator(x, 0.5, key=KEY)
        torch.autograd.grad(output, x, incoming, create_graph=True)
    assert sum(tensor.nbytes for tensor in saved) <= 2 * 40
    if dtype == torch.complex64 or operator is gaussian:
        assert [tensor.item() for tensor in saved if tensor.dtype == torch.int64] == [KEY - 2**64] * 2
    elif kernel.run is not None:
        assert not saved


def test_gradient_is_the_operator_on_the_gradient() -> None:
    x = torch.ones(1000, requires_grad=True)
    incoming = torch.linspace(-1, 1, 1000)
    for operator in (drop, gaussian):
        (gradient,) = torch.autograd.grad(operator(x, 0.5, key=3), x, incoming)
        assert torch.equal(gradient, operator(incoming, 0.5, key=3))


def test_complex_gradient() -> None:
    x = torch.randn(3, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for f, _ in MAPS.values():
        assert torch.autograd.gradcheck(f, x, check_forward_ad=True, check_batched_grad=True)


def test_without_gradients_nothing_is_recorded() -> None:
    x = torch.ones(4, requires_grad=True)
    with torch.no_grad():
        assert not drop(x, 0.5, key=1).requires_grad
    with torch.inference_mode():
        assert drop(x, 0.5, key=1).is_inference()
    assert not gaussian(torch.ones(4), 0.5, key=1).requires_grad
