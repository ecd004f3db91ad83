"""What torch asks of an operator: schema, fake and kernels that agree, and one graph under torch.compile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.library import opcheck

from thinned.noise import place
from thinned.ops import as_key, drop, gaussian

IMAGES = torch.linspace(1, 2, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
INPUTS = {
    "channels_last": lambda: IMAGES.contiguous(memory_format=torch.channels_last).requires_grad_(),
    "expanded": lambda: IMAGES[:, :1].expand(2, 3, 4, 4),
    "bfloat16": lambda: IMAGES.bfloat16().requires_grad_(),
    "scalar": lambda: IMAGES[0, 0, 0, 0].clone().requires_grad_(),
}


@pytest.mark.skipif(not hasattr(torch.Tag, "cudagraph_unsafe"), reason="this torch has no such mark")
@pytest.mark.parametrize("operator", ["drop", "gaussian", "uniform"])
def test_no_cuda_graph_records_a_key(operator: str) -> None:
    assert torch.Tag.cudagraph_unsafe in getattr(torch.ops.thinned, operator).default.tags


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch 2.14 reads it there
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("operator", ["drop", "gaussian", "uniform"])
@pytest.mark.parametrize("linear", [False, True])
def test_opcheck(operator: str, name: str, linear: bool) -> None:
    x = INPUTS[name]()
    law = torch.tensor(
        {"drop": [32768, 2.0, 0.5, -1.0], "gaussian": 0.3, "uniform": 0.0}[operator], dtype=torch.float64
    )
    packet = getattr(torch.ops.thinned, operator)
    checks = opcheck(packet.default, (x, as_key(7), law, linear, place(x.shape).strides, 5))
    assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("operator", [drop, gaussian])
def test_compile(operator: Callable[..., Tensor]) -> None:
    """One graph, forward and backward; the key is drawn at run time, from the same generator as in eager mode."""

    def block(x: Tensor) -> Tensor:
        return operator(operator(x.sin(), 0.5, broadcast_dims=(0,)), 0.1).cos()

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, fullgraph=True, backend=counter)
    x = torch.linspace(0, 1, 60).reshape(5, 12).requires_grad_()
    for seed in (0, 1):
        torch.manual_seed(seed)
        expected = block(x)
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        found = compiled(x)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(found, expected)
        assert torch.equal(*(torch.autograd.grad(output.sum(), x)[0] for output in (found, expected)))
    assert counter.frame_count == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("operator", [drop, gaussian])
def test_compile_takes_sizes_and_keys_as_they_come(operator: Callable[..., Tensor]) -> None:
    """Neither a new size nor a new key compiles again."""
    torch._dynamo.reset()
    compiled = torch.compile(operator, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for rows, key in ((4, 1), (5, -1), (9, 2)):
            x = torch.ones(rows, 12)
            assert torch.equal(compiled(x, 0.5, key=torch.tensor(key)), operator(x, 0.5, key=torch.tensor(key)))
    torch._dynamo.reset()


def test_meta() -> None:
    """Under fake tensors there is no data, and shape, dtype and layout are those of the input."""
    x = torch.empty(2, 3, 4, 4, device="meta", dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    for operator in (drop, gaussian):
        output = operator(x, 0.5)
        assert (output.shape, output.dtype, output.stride()) == (x.shape, x.dtype, x.stride())
