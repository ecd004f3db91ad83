"""torch.compile, forward and backward, in one graph: the masks of eager mode, fresh at every call."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.regressions.example import run
from tests.transforms.conftest import Case
from torch import Tensor

from thinned.nn import AlphaDropout, Dropout, Dropout2d, GaussianDropout, StochasticDepth

pytestmark = pytest.mark.usefixtures("dynamo")


def test_gradients_are_those_of_eager_mode_and_masks_are_fresh(traced: Case) -> None:
    layer, x = traced.layer(), traced.sample().requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    outputs = []
    for seed in (0, 1):
        results = []
        for form in (compiled, layer):
            y = traced.call(form, x, seed)
            results.append((y, *torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])))
        for found, expected in zip(*results, strict=True):
            if traced.variant.keyed:
                assert torch.equal(found, expected)
            else:
                torch.testing.assert_close(found, expected)
        outputs.append(results[0][0])
    again, fresh = traced.call(compiled, x, 1), run(compiled, x)
    assert torch.equal(again, outputs[1])
    assert not torch.equal(fresh, again)


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "permuted": lambda x: x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    "sliced": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "expanded": lambda x: x[:, :1].expand_as(x),
}
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@pytest.mark.compiler
@pytest.mark.parametrize("kind", [Dropout, Dropout2d, AlphaDropout, GaussianDropout, StochasticDepth])
def test_the_compiler_keeps_masks_of_every_dtype_and_layout(kind: type[Dropout]) -> None:
    """By inductor, all in one graph."""
    layer = kind(0.4)
    values = torch.rand(4, 3, 5, 2, generator=torch.Generator().manual_seed(0)) + 1
    inputs = [
        change(values).to(dtype).detach().requires_grad_()
        for change, dtype in itertools.product(LAYOUTS.values(), DTYPES)
    ]

    def block(inputs: list[Tensor]) -> list[Tensor]:
        return [layer(x) for x in inputs]

    results, strides = [], []
    for form in (torch.compile(block, fullgraph=True), block):
        torch.manual_seed(5)
        outputs = form(inputs)
        results.append((*outputs, *torch.autograd.grad(outputs, inputs, inputs)))
        strides.append([y.stride() for y in outputs])  # a gradient's are torch's choice: torch 2.11 takes contiguous
    assert strides[0] == strides[1]
    for found, expected in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


@pytest.mark.compiler
def test_sizes_may_vary() -> None:
    """A batch of another size is not compiled again once the axis is known to vary."""
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), Dropout(0.5), AlphaDropout(0.3), GaussianDropout(0.2))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for rows in (3, 4, 7, 50):
            x = torch.ones(rows, 6)
            results = []
            for form in (compiled, model):
                torch.manual_seed(rows)
                results.append(form(x))
            torch.testing.assert_close(*results)
