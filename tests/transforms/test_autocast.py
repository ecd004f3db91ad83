"""AMP: under autocast a layer's dtype is that of torch's dropout, and its mask is that of the key."""

from __future__ import annotations

import pytest
import torch
from tests.regressions.example import run
from tests.transforms.conftest import Case
from torch import Tensor

from thinned.nn import DropConnectLinear, Dropout


def surviving(layer: torch.nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(3)
    return run(layer, x.fill_(float("nan"))).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtype_and_mask(keyed: Case, dtype: torch.dtype) -> None:
    layer, x = keyed.layer(), keyed.sample(dtype)
    plain = keyed.call(layer, x, 3)
    mask = surviving(layer, x.clone())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = keyed.call(layer, x, 3)
        assert y.dtype == torch.nn.functional.dropout(x).dtype
        assert torch.equal(surviving(layer, x.clone()), mask)
        assert keyed.call(layer.eval(), x, 3).dtype == torch.nn.functional.dropout(x, training=False).dtype
    assert torch.equal(y, plain)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.usefixtures("dynamo")
def test_a_model_in_training(compiled: bool) -> None:
    """bfloat16 after a linear layer, float32 after a loss, masks and gradients of the same keys as without autocast."""
    first, noise, last = torch.nn.Linear(6, 64), Dropout(0.5), DropConnectLinear(64, 3, p=0.5)
    x = torch.linspace(-1, 1, 30).reshape(5, 6)
    dtypes: list[torch.dtype] = []

    def step(x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = noise(first(x))
        return hidden, last(hidden)

    with torch.no_grad():
        first.bias.fill_(10.0)  # no unit is 0 but by the mask
    run_step = torch.compile(step, fullgraph=True, backend="aot_eager") if compiled else step
    masks = []
    for amp in (False, True):
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            hidden, output = run_step(x)
        dtypes += [hidden.dtype, output.dtype]
        (gradient,) = torch.autograd.grad(output.float().sum(), last.weight)
        masks.append((hidden != 0, gradient != 0))
    assert dtypes == [torch.float32] * 2 + [torch.bfloat16] * 2
    for one, other in zip(*masks, strict=True):
        assert torch.equal(one, other)
        assert 0.3 < one.double().mean() < 0.7
