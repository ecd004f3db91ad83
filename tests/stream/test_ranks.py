"""Data-parallel training, each process with its rows of the batch, has the masks and gradients of one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.distributed.processes import in_processes
from tests.stream.network import SEED, assert_same, batch, loss, network, trained
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DistributedSampler, TensorDataset

import thinned
from thinned import nn

pytestmark = pytest.mark.ranks

WORLDS = pytest.mark.parametrize("world", [2, 4])
STEPS = 3


def whole(gradient: Tensor | None) -> Tensor:
    """The sum over the ranks, which data-parallel training has divided by their number."""
    assert gradient is not None
    full = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
    return full * dist.get_world_size()


def gradients(model: torch.nn.Module) -> list[Tensor]:
    taken = [whole(p.grad) for p in model.parameters()]
    model.zero_grad()
    return taken


def replicated() -> list[list[Tensor]]:
    """DistributedDataParallel on the rows that DistributedSampler deals out, in two microbatches, checkpointed."""
    torch.manual_seed(dist.get_rank())  # a stream draws nothing
    model = DistributedDataParallel(network())
    rank, world = dist.get_rank(), dist.get_world_size()
    found = []
    with thinned.stream(model, SEED, part=(rank, world), interleaved=True) as stream:
        assert "blocks.0.twice" in stream.sites
        for step in range(STEPS):
            x = batch(step, 8)
            sampler: DistributedSampler[Tensor] = DistributedSampler(TensorDataset(x), world, rank, shuffle=False)
            rows = list(sampler)
            for index, piece in enumerate(x[rows].chunk(2)):
                with stream.part(index, 2), model.no_sync() if index == 0 else nullcontext():
                    loss(lambda x: checkpoint(model, x, use_reentrant=False), piece).backward()
            found.append(gradients(model))
            stream.step()
    return found


def sharded() -> list[list[Tensor]]:
    """FSDP2 on runs of neighbouring rows."""
    model = network()
    rank, world = dist.get_rank(), dist.get_world_size()
    mesh = init_device_mesh("cpu", (world,))  # where there is a GPU, torch's own choice is that
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    found = []
    with thinned.stream(model, SEED, part=(rank, world)) as stream:
        for step in range(STEPS):
            loss(model, batch(step, 8).chunk(world)[rank]).backward()
            found.append(gradients(model))
            stream.step()
    return found


@WORLDS
@pytest.mark.parametrize("train", [replicated, sharded])
def test_ranks_train_as_one_process(train: Callable[[], list[list[Tensor]]], world: int) -> None:
    expected = trained(network(), STEPS)
    for found in in_processes(world, train):
        assert_same(found, expected)


def along_time() -> Any:
    """`(B, T, C)`, of which every rank has some of the time steps."""
    rank, world = dist.get_rank(), dist.get_world_size()
    model = torch.nn.ModuleList([nn.Dropout(0.5), nn.StochasticDepth(0.5)])
    with thinned.stream(model, SEED) as stream, stream.part(rank, world, dim=1):
        return model[1](model[0](torch.ones(6, 4 * world, 3).chunk(world, 1)[rank]))


@WORLDS
def test_a_sequence_on_several_ranks(world: int) -> None:
    model = torch.nn.ModuleList([nn.Dropout(0.5), nn.StochasticDepth(0.5)])
    with thinned.stream(model, SEED):
        expected = model[1](model[0](torch.ones(6, 4 * world, 3)))
    assert torch.equal(torch.cat(in_processes(world, along_time), dim=1), expected)
