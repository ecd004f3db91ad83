"""Default keys where several processes run: ranks of one seed differ, a rerun repeats, one process is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.distributed.processes import in_processes
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from thinned import nn
from thinned.noise import fold_in
from thinned.ops import draw_key, drop, gaussian
from thinned.ops.philox import signed

OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]
WORLDS = pytest.mark.parametrize("world", [2, 4])


def drawn(count: int) -> list[int]:
    """What torch's generator gives a process of its own at seed 0, as keys."""
    torch.manual_seed(0)
    return [int(torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64)) % 2**64 for _ in range(count)]


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), nn.Dropout(0.5), torch.nn.Linear(8, 8), nn.GaussianDropout(0.5))


def batch() -> Tensor:
    return torch.linspace(-1, 1, 24).reshape(4, 6)


def three_keys() -> list[int]:
    return [int(draw_key()) for _ in range(3)]


@WORLDS
def test_a_drawn_key_is_folded_with_the_rank(world: int) -> None:
    keys = in_processes(world, three_keys)
    assert keys == [[signed(fold_in(key, rank)) for key in drawn(3)] for rank in range(world)]


def test_one_process_draws_as_it_does_without_a_group() -> None:
    assert in_processes(1, three_keys) == [[signed(key) for key in drawn(3)]]
    torch.manual_seed(0)
    assert three_keys() == [signed(key) for key in drawn(3)]


def asked_for() -> list[Tensor]:
    own = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    sources: list[dict[str, Any]] = [{"key": 7}, {"generator": own}, {"generator": torch.default_generator}]
    return [operator(torch.ones(64), 0.5, **source) for operator in OPERATORS for source in sources]


def test_a_key_or_a_generator_that_is_given_is_never_folded() -> None:
    first, second = in_processes(2, asked_for)
    for here, there, alone in zip(first, second, asked_for(), strict=True):
        assert torch.equal(here, alone)
        assert torch.equal(there, alone)


def ddp() -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The output, this rank's own gradients, and those that DDP makes of all ranks'."""
    model = network()
    torch.manual_seed(1)
    output = model(batch())
    own = torch.autograd.grad(output.square().sum(), list(model.parameters()))
    torch.manual_seed(1)
    wrapped = DistributedDataParallel(model)
    assert torch.equal(wrapped(batch()), output)
    torch.manual_seed(1)
    wrapped(batch()).square().sum().backward()
    return output.detach(), list(own), [p.grad for p in model.parameters() if p.grad is not None]


@WORLDS
def test_ddp(world: int) -> None:
    """Every rank thins its own network; the gradient is the mean of theirs; a rerun repeats all of it."""
    ranks = in_processes(world, ddp)
    outputs = [output for output, _, _ in ranks]
    model = network()
    torch.manual_seed(1)
    outputs.append(model(batch()).detach())
    for one, output in enumerate(outputs):
        assert all(not torch.equal(output, other) for other in outputs[:one])
    means = [torch.stack(parts).mean(0) for parts in zip(*(own for _, own, _ in ranks), strict=True)]
    for *_, gradients in ranks:
        for mean, gradient in zip(means, gradients, strict=True):
            torch.testing.assert_close(gradient, mean)
    for (output, *_), (again, *_) in zip(ranks, in_processes(world, ddp), strict=True):
        assert torch.equal(output, again)


def fsdp() -> tuple[Tensor, Tensor]:
    """The outputs of a whole model and of a sharded one, whose gradients agree with those of DDP."""
    whole, sharded = DistributedDataParallel(network()), network()
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))  # where there is a GPU, torch's own choice is that
    for layer in (sharded[0], sharded[2], sharded):
        fully_shard(layer, mesh=mesh)
    outputs = []
    for model in (whole, sharded):
        torch.manual_seed(1)
        outputs.append(model(batch()))
        outputs[-1].square().sum().backward()
    for p, shard in zip(whole.parameters(), sharded.parameters(), strict=True):
        assert isinstance(shard.grad, DTensor)
        torch.testing.assert_close(shard.grad.full_tensor(), p.grad)
    return outputs[0].detach(), outputs[1].detach()


@WORLDS
def test_fsdp(world: int) -> None:
    """A model whose weights lie in shards draws as one whose weights are whole."""
    ranks = in_processes(world, fsdp)
    assert all(torch.equal(*outputs) for outputs in ranks)
    assert len({tuple(output.flatten().tolist()) for output, _ in ranks}) == world


def compiled() -> tuple[Tensor, Tensor, int]:
    def block(x: Tensor) -> Tensor:
        return gaussian(drop(x.sin(), 0.5), 0.1).cos()

    counter = CompileCounterWithBackend("aot_eager")
    fast = torch.compile(block, fullgraph=True, backend=counter)
    torch.manual_seed(0)
    expected = torch.stack([block(batch()) for _ in range(2)])
    torch.manual_seed(0)
    return expected, torch.stack([fast(batch()) for _ in range(2)]), counter.frame_count


def test_a_compiled_graph_folds_too() -> None:
    """One graph without a break, with the rank in it."""
    ranks = in_processes(2, compiled)
    assert not torch.equal(ranks[0][0], ranks[1][0])
    for expected, found, frames in ranks:
        assert torch.equal(found, expected)
        assert frames == 1


def rows(randomness: str) -> list[int]:
    def key(_: Tensor) -> Tensor:
        return draw_key()

    return torch.func.vmap(key, randomness=randomness)(torch.zeros(3)).tolist()


def test_vmap_folds_a_key_a_row() -> None:
    """Each row's own key where rows differ, and one for all where they are the same."""
    torch.manual_seed(0)
    alone = [key % 2**64 for key in rows("different")]
    assert len(set(alone)) == 3
    assert in_processes(2, rows, "different") == [[signed(fold_in(key, rank)) for key in alone] for rank in range(2)]
    assert in_processes(2, rows, "same") == [[signed(fold_in(drawn(1)[0], rank))] * 3 for rank in range(2)]


def recomputed() -> tuple[Tensor, Tensor]:
    masks: list[Tensor] = []

    def block(x: Tensor) -> Tensor:
        masks.append(drop(x.sin(), 0.5))
        return masks[-1].cos()

    checkpoint(block, batch().requires_grad_(), use_reentrant=False).sum().backward()
    first, second = masks
    return first.detach(), second.detach()


def test_checkpoint_recomputes_the_rank_s_own_mask() -> None:
    ranks = in_processes(2, recomputed)
    assert all(torch.equal(*masks) for masks in ranks)
    assert not torch.equal(ranks[0][0], ranks[1][0])


def moments() -> tuple[int, int]:
    """How many of 2**20 units are dropped, and how many of them on the neighbouring rank as well."""
    dropped = drop(torch.ones(2**20), 0.5) == 0
    theirs = dropped.byte()
    dist.broadcast(theirs, src=0)
    return int(dropped.sum()), int((dropped & theirs.bool()).sum())


def test_ranks_are_independent() -> None:
    """p = 1/2 on 2**20 units: each count within 5 standard deviations of its binomial mean, 2560 and 2217."""
    (first, _), (second, both) = in_processes(2, moments)
    assert abs(first - 2**19) < 2560
    assert abs(second - 2**19) < 2560
    assert abs(both - 2**18) < 2217
