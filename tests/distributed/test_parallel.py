"""Tensor and sequence parallel layers, torch's own, train the network that one process would: outputs and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.distributed.processes import in_processes
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

import thinned
from thinned import nn
from thinned.noise import fold_in

WORLDS = pytest.mark.parametrize("world", [2, 4])
SEED = 5
Trained = tuple[Tensor, dict[str, Tensor]]  # the output, and the gradients by name


class Block(torch.nn.Module):
    """The feed-forward half of a transformer layer: `(B, T, C)`, noise in every place where people put it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(8)
        self.first = nn.Dropout(0.3)
        self.up = torch.nn.Linear(8, 12)
        self.inner = nn.GaussianDropout(0.2)
        self.alpha = nn.AlphaDropout(0.1)
        self.down = nn.DropConnectLinear(12, 8, p=0.2)
        self.last = nn.Dropout(0.5, broadcast_dims=(1,))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.alpha(self.inner(self.up(self.first(self.norm(x))).relu()))
        y: Tensor = self.last(self.down(hidden))
        return y


def block(split: Callable[[Block], None] = lambda model: None) -> Block:
    """DropConnect comes after `split`: torch's styles for linear layers take a submodule of one for a linear layer."""
    torch.manual_seed(SEED)
    model = Block()
    split(model)
    nn.drop_connect(model.up, p=0.2)
    return model


def batch(number: int) -> Tensor:
    return torch.linspace(number, 9, 2 * 8 * 8).reshape(2, 8, 8).sin()


def trained(model: torch.nn.Module, x: Tensor) -> Trained:
    def full(x: Tensor) -> Tensor:
        return x.full_tensor() if isinstance(x, DTensor) else x

    output = model(x)
    output.square().mean().backward()
    return full(output.detach()), {name: full(p.grad) for name, p in model.named_parameters() if p.grad is not None}


def alone(x: Tensor, rank: int, seed: int = SEED) -> Trained:
    """One process that holds everything and draws as that rank does."""
    model = block()
    torch.manual_seed(seed)

    def draw(_: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        drawn = int(torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64)) % 2**64
        return args, {**kwargs, "key": fold_in(drawn, rank)}

    kinds = nn.Dropout | nn.GaussianDropout | nn.AlphaDropout | nn.DropConnect | nn.DropConnectLinear
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    assert len(layers) == 6
    for layer in layers:
        layer.register_forward_pre_hook(draw, with_kwargs=True)
    return trained(model, x)


def assert_same(found: Trained, expected: Trained) -> None:
    (output, gradients), (wanted, wanted_gradients) = found, expected
    torch.testing.assert_close(output, wanted)
    assert torch.equal(output == 0, wanted == 0)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted_gradients[name])


def sequence_parallel(model: Block, mesh: DeviceMesh) -> None:
    """Activations are sharded along time outside the two linear layers, along features between them."""
    plan: dict[str, ParallelStyle] = {
        "": PrepareModuleInput(input_layouts=(Replicate(),), desired_input_layouts=(Shard(1),)),
        "norm": SequenceParallel(),
        "first": SequenceParallel(),
        "up": ColwiseParallel(input_layouts=Shard(1), use_local_output=False),
        "down": RowwiseParallel(output_layouts=Shard(1), use_local_output=False),
        "last": SequenceParallel(),
    }
    parallelize_module(model, mesh, plan)


def tensor_parallel(model: Block, mesh: DeviceMesh) -> None:
    """Activations are whole outside the two linear layers, and DTensors everywhere."""
    whole = (Replicate(),)
    plan: dict[str, ParallelStyle] = {
        "": PrepareModuleInput(input_layouts=whole, desired_input_layouts=whole, use_local_output=False),
        "up": ColwiseParallel(use_local_output=False),
        "down": RowwiseParallel(use_local_output=False),
    }
    distribute_module(model.norm, mesh)
    parallelize_module(model, mesh, plan)


def one_axis(split: Callable[[Block, DeviceMesh], None], apart: int) -> Trained:
    """A block on all processes, which are seeded `apart` from each other."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    model = block(lambda model: split(model, mesh))
    torch.manual_seed(SEED + apart * dist.get_rank())
    return trained(model, batch(0))


@WORLDS
@pytest.mark.parametrize("apart", [0, 1])
@pytest.mark.parametrize("split", [sequence_parallel, tensor_parallel])
def test_one_network_on_all_ranks(split: Callable[[Block, DeviceMesh], None], apart: int, world: int) -> None:
    expected = alone(batch(0), rank=0)
    for found in in_processes(world, one_axis, split, apart):
        assert_same(found, expected)


def streamed(split: Callable[[Block, DeviceMesh], None] | None) -> Trained:
    """The second step of a stream, on all processes or, without a split, on one."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),)) if split else None
    model = block(lambda model: split(model, mesh) if split and mesh else None)
    torch.manual_seed(dist.get_rank() if split else 9)  # a stream draws nothing
    with thinned.stream(model, SEED) as stream:
        stream.step()
        return trained(model, batch(0))


@WORLDS
@pytest.mark.parametrize("split", [sequence_parallel, tensor_parallel])
def test_a_stream_gives_all_ranks_the_keys_of_one_process(
    split: Callable[[Block, DeviceMesh], None], world: int
) -> None:
    expected = streamed(None)
    for found in in_processes(world, streamed, split):
        assert_same(found, expected)


def two_axes() -> Trained:
    """Two replicas by FSDP2, each on two processes."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "model"))
    model = block(lambda model: sequence_parallel(model, mesh["model"]))
    fully_shard(model, mesh=mesh["data"])
    torch.manual_seed(SEED)
    return trained(model, batch(mesh.get_local_rank("data")))


def test_replicas_of_a_network_on_two_ranks_each() -> None:
    """Replicas draw apart, the ranks of one alike; the gradient is the replicas' mean."""
    replicas = [alone(batch(number), rank=2 * number) for number in range(2)]
    mean = {name: (gradient + replicas[1][1][name]) / 2 for name, gradient in replicas[0][1].items()}
    for rank, found in enumerate(in_processes(4, two_axes)):
        assert_same(found, (replicas[rank // 2][0], mean))
