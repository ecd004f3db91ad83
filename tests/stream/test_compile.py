"""Compiled training has eager training's masks, with one graph for every step, microbatch and block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from tests.stream.network import Network, assert_same, batch, gradients, loss, network, trained
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import thinned
import thinned.nn.functional as F
from thinned import nn
from thinned.nn.stream.stream import Stream

SEED = 6
backend = pytest.mark.parametrize(
    "backend", ["aot_eager", *(pytest.param(name, marks=pytest.mark.compiler) for name in ("eager", "inductor"))]
)
# torch 2.8 takes every number that it reaches through a module for a constant: each part of a batch has its graph.
PARTS_ARE_CONSTANTS = torch.__version__.startswith("2.8.")


@pytest.fixture(autouse=True)
def _compiled_anew() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def graphs() -> int:
    """How many were compiled; a graph break makes two of one."""
    number: int = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    return number


def quarters(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    for index, rows in enumerate(x.chunk(4)):
        with stream.part(index, 4):
            yield rows


class Compiled(torch.nn.Module):
    """A network as one graph; its sites are the network's own."""

    def __init__(self, model: torch.nn.Module, backend: str) -> None:
        super().__init__()
        self._orig_mod = model
        self.graph = [torch.compile(model, backend=backend, fullgraph=True)]

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.graph[0](x)
        return output


@backend
@pytest.mark.parametrize("pieces", [None, pytest.param(quarters, marks=pytest.mark.compiler)])
def test_fifty_steps_are_one_graph_and_eager_s_masks(
    backend: str, pieces: Callable[[Stream, Tensor], Iterator[Tensor]] | None
) -> None:
    """A layer is called twice in the graph; microbatches take the same one."""
    found = trained(Compiled(network(), backend), 50, pieces)
    assert graphs() == (4 if pieces and PARTS_ARE_CONSTANTS else 1)
    assert_same(found, trained(network(), 50))


@backend
def test_functions(backend: str) -> None:
    def f(x: Tensor) -> Tensor:
        return F.dropout(F.dropout(x, 0.5), 0.25) + F.gaussian_dropout(x, 0.0) + F.alpha_dropout(x, 0.25, training=True)

    compiled = torch.compile(f, backend=backend, fullgraph=True)
    x = batch(0)
    with thinned.stream(torch.nn.Linear(1, 1), SEED) as stream:
        for _ in range(5):
            assert_same(compiled(x), f_again(stream, f, x))
            stream.step()
    assert graphs() == 1


def f_again(stream: Stream, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The same calls of the step once more."""
    stream.load_state_dict(stream.state_dict())
    return f(x)


@backend
def test_calls_in_and_out_of_graphs_are_numbered_together(backend: str) -> None:
    layer = nn.Dropout(0.5)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    x = torch.ones(50)
    with thinned.stream(layer, SEED) as stream:
        for _ in range(3):
            calls: list[Callable[[Tensor], Tensor]] = [compiled, compiled, layer, compiled, layer, layer, compiled]
            for call, each in enumerate(calls):
                assert torch.equal(each(x), layer(x, key=stream.key("", call)))
            stream.step()
    assert graphs() == 1


@pytest.mark.compiler
@backend
def test_one_graph_serves_every_block_of_a_class(backend: str) -> None:
    """Regional compilation: what differs between the blocks' sites is data."""
    model = network(4)
    blocks = [torch.compile(block, backend=backend, fullgraph=True) for block in model.blocks]

    def forward(x: Tensor) -> Tensor:
        for block in [*blocks, blocks[1]]:
            x = block(x)
        return x

    def eagerly(x: Tensor) -> Tensor:
        for block in [*model.blocks, model.blocks[1]]:
            x = block(x)
        return x

    assert_same(steps(model, forward), steps(model, eagerly))
    assert graphs() == 1


def steps(model: torch.nn.Module, forward: Callable[[Tensor], Tensor], count: int = 4) -> list[list[Tensor]]:
    found = []
    with thinned.stream(model, SEED) as stream:
        for step in range(count):
            loss(forward, batch(step).requires_grad_()).backward()
            found.append(gradients(model))
            stream.step()
    return found


class Checkpointed(torch.nn.Module):
    """Checkpoints inside what is compiled, one in another; torch's partitioner recomputes."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._orig_mod = network

    def forward(self, x: Tensor) -> Tensor:
        first, second = self._orig_mod.blocks

        def both(x: Tensor) -> Tensor:
            y: Tensor = checkpoint(second, first(x), use_reentrant=False)
            return y

        output: Tensor = self._orig_mod.head(checkpoint(both, x, use_reentrant=False))
        return output


@pytest.mark.compiler
@backend
@pytest.mark.parametrize("pieces", [None, quarters])
def test_a_checkpoint_inside_a_graph(backend: str, pieces: Callable[[Stream, Tensor], Iterator[Tensor]] | None) -> None:
    found = trained(Compiled(Checkpointed(network()), backend), 4, pieces)
    assert graphs() == (4 if pieces and PARTS_ARE_CONSTANTS else 1)
    assert_same(found, trained(network(), 4))


@pytest.mark.compiler
@backend
@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("parts", [1, 4])
def test_a_checkpoint_of_graphs(backend: str, use_reentrant: bool, parts: int) -> None:
    """The same graphs run again in the backward pass, the last first; one block is called twice."""
    model = network(3)
    blocks = [torch.compile(block, backend=backend, fullgraph=True) for block in model.blocks]

    def run(blocks: list[Callable[[Tensor], Tensor]], checkpointed: bool) -> list[list[Tensor]]:
        found = []
        with thinned.stream(model, SEED) as stream:
            for step in range(3):
                for index, rows in enumerate(batch(step).chunk(parts)):
                    with stream.part(index, parts):
                        x = rows.clone().requires_grad_()
                        for block in [*blocks, blocks[1]]:
                            x = checkpoint(block, x, use_reentrant=use_reentrant) if checkpointed else block(x)
                        x.square().sum().backward()
                found.append(gradients(model))
                stream.step()
        return found

    assert_same(run(blocks, True), run(list(model.blocks), False))


@backend
def test_calls_go_on_after_a_recomputation(backend: str) -> None:
    layer = nn.Dropout(0.5)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    x = torch.ones(50, requires_grad=True)
    with thinned.stream(layer, SEED) as stream:
        for call in range(0, 6, 2):
            y = checkpoint(lambda x: compiled(x).exp(), x, use_reentrant=False)
            assert torch.equal(y, layer(x, key=stream.key("", call)).exp())
            y.sum().backward()
            assert torch.equal(compiled(x), layer(x, key=stream.key("", call + 1)))


@pytest.mark.compiler
@backend
def test_two_runs_of_a_graph_before_their_backward_passes(backend: str) -> None:
    """R-Drop: the partitioner repeats the second run's calls, then the first's."""
    model = network()
    compiled = Compiled(Checkpointed(model), backend)

    def run(forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
        with thinned.stream(model, SEED):
            (forward(batch(0)) - 2 * forward(batch(0)).sin()).square().sum().backward()
        return gradients(model)

    assert_same(run(compiled), run(model))


@pytest.mark.compiler
def test_a_checkpoint_of_a_graph_is_repeated_in_its_part() -> None:
    """A graph reads its rows when it begins; the next one begins in no part."""
    model = network()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    never_repeated = pytest.warns(RuntimeWarning, match="must have its backward pass inside the `with`")
    with never_repeated, thinned.stream(model, SEED) as stream:
        with stream.part(1, 2):
            value = checkpoint(compiled, batch(0), use_reentrant=False).sum()
        with pytest.raises(RuntimeError, match=r"graph that a checkpoint .* Call backward\(\) inside that `with`"):
            value.backward()


@pytest.mark.compiler
@backend
def test_a_backward_pass_after_the_step(backend: str) -> None:
    model = network()
    compiled = torch.compile(model, backend=backend, fullgraph=True)

    def run(forward: Callable[[Tensor], Tensor], late: bool) -> list[Tensor]:
        with thinned.stream(model, SEED) as stream:
            value = loss(forward, batch(0))
            if late:
                stream.step()
                forward(batch(1))
            value.backward()
        return gradients(model)

    expected = run(model, False)
    assert_same(run(compiled, True), expected)
    assert_same(run(lambda x: checkpoint(compiled, x, use_reentrant=False), True), expected)
    assert_same(run(Compiled(Checkpointed(model), backend), True), expected)


@pytest.mark.compiler
@backend
def test_another_stream_takes_the_same_graph(backend: str) -> None:
    model = network()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    outputs = []
    for seed in (1, 2):
        with thinned.stream(model, seed):
            outputs.append(compiled(batch(0)))
            with thinned.stream(fresh := network(), seed):
                assert_same(outputs[-1], fresh(batch(0)))
    assert graphs() == 1
    with pytest.raises(AssertionError):
        assert_same(*outputs)
    torch.manual_seed(1)
    first = compiled(batch(0))
    torch.manual_seed(1)
    assert_same(first, compiled(batch(0)))
    assert graphs() == 2, "outside a stream keys are drawn"


@pytest.mark.compiler
def test_inference_mode_and_no_grad_go_between() -> None:
    """What a graph counts there can be saved by autograd afterwards."""
    layer = nn.Dropout(0.5)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.ones(50, requires_grad=True)
    with thinned.stream(layer, SEED) as stream:
        for call, mode in enumerate([torch.inference_mode, torch.enable_grad, torch.no_grad, torch.enable_grad]):
            with mode():
                y = compiled(x)
                assert torch.equal(y, layer(x, key=stream.key("", call)))
        y.sum().backward()


def test_a_site_in_a_stream_is_not_exported() -> None:
    model = network()
    with thinned.stream(model, SEED):
        with pytest.raises(Exception, match="must not be exported while it is in a stream"):
            torch.export.export(model, (batch(0),))
        torch.export.export(model.eval(), (batch(0),))
