"""A forward pass that is run again, to save memory, has the masks of the first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch import config
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.utils.checkpoint import checkpoint

from thinned.nn import AlphaDropout, Dropout, GaussianDropout

pytestmark = pytest.mark.usefixtures("dynamo")


def keeping(graphs: list[torch.fx.GraphModule]) -> Callable[..., object]:
    """A backend that runs the compiler's partition as it is, and keeps it."""

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        compiled: Callable[..., object] = make_boxed_func(graph.forward)
        return compiled

    return aot_autograd(fw_compiler=keep, bw_compiler=keep, partition_fn=min_cut_rematerialization_partition)


@pytest.mark.parametrize(
    "how", ["both", *(pytest.param(how, marks=pytest.mark.compiler) for how in ("budget", "checkpoint"))]
)
@pytest.mark.parametrize("kind", [Dropout, AlphaDropout, GaussianDropout])
def test_the_gradient_is_that_of_the_forward_s_own_mask(kind: type[Dropout], how: str) -> None:
    """A compiled block that is run again, by a memory budget of 0 or as a checkpoint, has one mask in both passes."""
    layer = kind(0.4)
    graphs: list[torch.fx.GraphModule] = []

    def block(x: Tensor) -> Tensor:
        y: Tensor = layer(x.sin())
        return (y.square() * x.exp()).sin()

    region = partial(checkpoint, block, use_reentrant=False) if how != "budget" else block
    compiled = torch.compile(region, fullgraph=True, backend=keeping(graphs))
    x = torch.linspace(1, 2, 300).requires_grad_()
    for seed in (0, 1):
        results = []
        for form in (compiled, block):
            with config.patch(activation_memory_budget=1.0 if how == "checkpoint" else 0.0):
                torch.manual_seed(seed)
                y = form(x)
            results.append((y, *torch.autograd.grad(y.sum(), x)))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    _, backward = graphs
    operators = (torch.ops.thinned.drop.default, torch.ops.thinned.gaussian.default)
    linear = [node.args[3] for node in backward.graph.nodes if node.target in operators]
    assert sorted(linear) == [False, True], "the forward's own call, again, and the gradient's"


@pytest.mark.compiler
@pytest.mark.parametrize("budget", [0.0, 0.5])
def test_the_compiler_s_own_choice(budget: float) -> None:
    """By inductor, through layers that draw one after another."""
    first, second = Dropout(0.5), AlphaDropout(0.3)
    weight = torch.linspace(-1, 1, 64 * 64).reshape(64, 64)

    def block(x: Tensor) -> Tensor:
        y: Tensor = second(first(x @ weight) @ weight)
        return y @ weight

    x = torch.linspace(0.1, 1, 8 * 64).reshape(8, 64).requires_grad_()
    results = []
    with config.patch(activation_memory_budget=budget):
        for form in (torch.compile(block, fullgraph=True), block):
            torch.manual_seed(3)
            y = form(x)
            results.append((y, *torch.autograd.grad(y.sum(), x)))
    torch.testing.assert_close(*results)
