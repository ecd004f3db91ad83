"""What others get wrong under torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.regressions.example import build, run, sample
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.utils.checkpoint import checkpoint

from thinned.nn.variants import Variant
from thinned.ops import drop, gaussian

OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]


@pytest.fixture
def dynamo() -> Iterator[None]:
    """A cache of its own; recurrent modules are experimental there."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True, allow_rnn=True):
        yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("dynamo")
def test_a_schedule_of_p_compiles_once(variant: Variant) -> None:
    """torch 2.13: each new p compiles again, and after the eighth the layer runs eager.

    Here: twenty rates, one graph, and the masks and gradients of eager mode.
    """
    module, x = build(variant, 0.5), sample(variant)[:4].requires_grad_()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for step in range(20):
        for name in ("p", "dropout", "recurrent_dropout"):
            if hasattr(module, name):
                setattr(module, name, 0.01 + 0.04 * step)
        results = []
        for layer in (compiled, module):
            torch.manual_seed(step)
            output = run(layer, x)
            results.append((output, *torch.autograd.grad(output.square().sum(), x)))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected)
    assert counter.frame_count == 1


def partitioned(graphs: list[torch.fx.GraphModule]) -> Any:
    """A backend that lets the partitioner choose what the backward pass recomputes, and shows both graphs."""

    def keep(graph: torch.fx.GraphModule, _: object) -> Any:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    return aot_autograd(fw_compiler=keep, bw_compiler=keep, partition_fn=min_cut_rematerialization_partition)


def thinned_again(backward: torch.fx.GraphModule, times: int) -> bool:
    """Whether the graph has a forward's calls of the operators besides the gradient's, that is: recomputes them."""
    calls = [str(node.target) for node in backward.graph.nodes if str(node.target).startswith("thinned.")]
    return sum(call != "thinned.law.default" for call in calls) == 2 * times


@pytest.mark.usefixtures("dynamo")
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("budget", [0.5, 0.0])
def test_a_forward_recomputed_to_save_memory_has_the_same_masks(operator: Callable[..., Tensor], budget: float) -> None:
    """torch 2.13: with a memory budget below 1, or random numbers four at a time, the recomputed mask is another one;
    and reordering for memory changes which call draws what. Keys that are data cannot be told apart by that."""
    x, keys = torch.linspace(1, 2, 300).requires_grad_(), torch.tensor([5, 6])
    graphs: list[torch.fx.GraphModule] = []

    def block(x: Tensor, keys: Tensor) -> Tensor:
        return operator(operator(x.sin(), 0.5, key=keys[0]).sin(), 0.5, key=keys[1]).sin()

    with torch._functorch.config.patch(activation_memory_budget=budget):
        compiled = torch.compile(block, fullgraph=True, backend=partitioned(graphs))
        same_gradients(compiled, block, x, keys)
    assert thinned_again(graphs[1], 2)


@pytest.mark.usefixtures("dynamo")
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_checkpoint_in_a_graph_has_the_same_masks(operator: Callable[..., Tensor]) -> None:
    """OLMo-core, guided-diffusion: a checkpoint recomputes with other masks. In one compiled graph, keys not given."""
    x = torch.linspace(1, 2, 300).requires_grad_()
    graphs: list[torch.fx.GraphModule] = []

    def block(x: Tensor) -> Tensor:
        return operator(operator(x.sin(), 0.5).sin(), 0.5).sin()

    def region(x: Tensor) -> Tensor:
        output: Tensor = checkpoint(block, x, use_reentrant=False)
        return output

    same_gradients(torch.compile(region, fullgraph=True, backend=partitioned(graphs)), block, x)
    assert thinned_again(graphs[1], 2)


def same_gradients(one: Callable[..., Tensor], other: Callable[..., Tensor], x: Tensor, *rest: Tensor) -> None:
    for seed in (0, 1):
        results = []
        for function in (one, other):
            torch.manual_seed(seed)
            output = function(x, *rest)
            results.append((output, *torch.autograd.grad(output.sum(), x)))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected)
