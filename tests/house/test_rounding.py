"""The mode of `pytest --rounding` changes every kind of product by its shapes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests import rounding
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

SIZE = 64
# Products with ones and zeros, which any BLAS gets exactly: the numbers that went in, whatever the shapes.
EXACT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mm": lambda a, eye: eye @ a,
    "mm with out": lambda a, eye: torch.mm(eye, a, out=torch.empty_like(a)),
    "bmm": lambda a, eye: eye[None] @ a[None],
    "mv": lambda a, eye: eye @ a[0],
    "addmm": lambda a, eye: torch.addmm(torch.zeros_like(a), eye, a),
    "addmm in place": lambda a, eye: torch.zeros_like(a).addmm_(eye, a),
    "baddbmm": lambda a, eye: torch.baddbmm(torch.zeros_like(a)[None], eye[None], a[None]),
    "linear": lambda a, eye: F.linear(a, eye, torch.zeros_like(a[0])),
    "einsum": lambda a, eye: torch.einsum("ij,jk->ik", eye, a),
    "vmap": lambda a, eye: torch.vmap(lambda row: eye @ row)(a),
    "convolution": lambda a, eye: F.conv2d(a[None, None], eye[:1, :1][None, None]),
    "transposed convolution": lambda a, eye: F.conv_transpose1d(a[None], eye[:, :, None]),
    "attention": lambda a, eye: F.scaled_dot_product_attention(
        0 * a[None, None], eye[None, None, :1], a[None, None, :1]
    ),
    "gradient": lambda a, eye: gradient(lambda x: x @ eye, a),
    "gradient of a convolution": lambda a, eye: gradient(lambda x: F.conv2d(x[None, None], eye[:1, :1][None, None]), a),
}


def gradient(function: Callable[[Tensor], Tensor], a: Tensor) -> Tensor:
    """The gradient that `a`, going back through the function, becomes."""
    x = torch.zeros_like(a).requires_grad_()
    y = function(x)
    (found,) = torch.autograd.grad(y, x, a.view(y.shape))
    return found


@pytest.mark.parametrize("dtype", rounding.UNIT)
@pytest.mark.parametrize("kind", EXACT)
def test_a_product_is_moved_by_at_most_a_unit_and_alike_at_each_call(kind: str, dtype: torch.dtype) -> None:
    a, eye = torch.rand(SIZE, SIZE, dtype=dtype) + 1, torch.eye(SIZE, dtype=dtype)
    expected = {"mv": a[0], "attention": a[:1].expand(1, 1, SIZE, SIZE)}.get(kind, a)
    with rounding.on():
        found, again = (EXACT[kind](a, eye) for _ in range(2))
    assert torch.equal(found, again)
    error = (found / expected.view(found.shape) - 1).abs()
    assert 0.2 < float((error > 0).double().mean()) < 0.9
    assert float(error.max()) <= 2 * rounding.UNIT[dtype]


def test_other_shapes_are_rounded_otherwise() -> None:
    """As a row alone and among others are, on many machines."""
    a = torch.rand(SIZE, SIZE)
    with rounding.on():
        for layer in (nn.Linear(SIZE, SIZE), nn.Conv1d(SIZE, SIZE, 1)):
            x = a if isinstance(layer, nn.Linear) else a[:, :, None]
            row, rows = layer(x[:1]), layer(x)[:1]
            assert not torch.equal(row, rows)
            torch.testing.assert_close(row, rows)
        for kind in (nn.LSTM, nn.GRU, nn.RNN):
            recurrent: Any = kind(SIZE, SIZE)
            alone, among = recurrent(a[:, None, :][:, :1])[0], recurrent(a[:, None, :].repeat(1, 3, 1))[0][:, :1]
            assert not torch.equal(alone, among)
            torch.testing.assert_close(alone, among)


def test_nothing_else_is_changed_and_no_mode_sees_the_change() -> None:
    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    def others() -> tuple[Tensor, ...]:
        return a.exp(), a.sum(0), a.softmax(1), F.layer_norm(a, (SIZE,)), a.half() @ a.half()

    seen: list[str] = []
    a, special = torch.rand(SIZE, SIZE), torch.tensor([[0.0, torch.inf, -torch.inf, torch.nan]])
    expected = others()
    with rounding.on():
        assert all(map(torch.equal, others(), expected))
        torch.testing.assert_close(torch.ones(1, 1) @ special, special, rtol=0, atol=0, equal_nan=True)
        with Seen():  # type: ignore[no-untyped-call]
            torch.mm(a, a)
    assert seen == ["aten.mm.default"]
