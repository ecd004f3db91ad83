"""Noise on DTensors is that of one process that holds the whole: masks, gradients, on any mesh, whatever a rank has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
import torch.distributed as dist
from tests.distributed.processes import in_processes
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor

from thinned import nn
from thinned.noise import fold_in
from thinned.ops import drop, gaussian

OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]
WORLDS = pytest.mark.parametrize("world", [2, 4])
# Of two and of four ranks, no axis is shared out evenly, and on the last one some have nothing.
WHOLE = torch.linspace(1, 2, 7 * 5 * 3).reshape(7, 5, 3)


def meshes() -> Iterator[DeviceMesh]:
    world = dist.get_world_size()
    yield init_device_mesh("cpu", (world,))
    yield init_device_mesh("cpu", (2, world // 2))


def spread(x: Tensor, mesh: DeviceMesh, *placements: Placement) -> DTensor:
    part = distribute_tensor(x.detach().clone(), mesh, placements)
    part.requires_grad_()
    return part


def assert_alike(layer: Callable[[Tensor], Tensor], x: Tensor, part: DTensor, about: object) -> None:
    """That `layer` makes of a whole and of its parts the same output, gradient and second gradient."""
    whole = x.detach().clone().requires_grad_()
    expected, found = layer(whole), layer(part)
    assert isinstance(found, DTensor)
    assert found.placements == part.placements, about
    assert torch.equal(found.full_tensor(), expected), about
    for output, leaf in ((expected, whole), (found, part)):
        (first,) = torch.autograd.grad(output.square().sum(), leaf, create_graph=True)
        first.square().sum().backward()
    assert isinstance(part.grad, DTensor)
    assert whole.grad is not None
    torch.testing.assert_close(part.grad.full_tensor(), whole.grad, msg=str(about))
    assert torch.equal(part.grad.full_tensor() == 0, whole.grad == 0), about


def every_placement() -> None:
    where: list[Placement] = [Shard(0), Shard(1), Shard(2), Replicate()]
    layers = [
        partial(drop, p=0.5, key=7),
        partial(drop, p=0.5, key=7, broadcast_dims=(0,)),
        partial(gaussian, sigma=0.5, key=7, broadcast_dims=(1, 2)),
    ]
    for mesh in meshes():
        for placements, layer in itertools.product(itertools.product(where, repeat=mesh.ndim), layers):
            assert_alike(layer, WHOLE, spread(WHOLE, mesh, *placements), (mesh, placements, layer))


@WORLDS
def test_every_placement(world: int) -> None:
    in_processes(world, every_placement)


def a_shard_of_a_block() -> None:
    """A DTensor may itself be a block of something larger."""
    mesh = next(meshes())

    layer = partial(drop, p=0.5, key=7, offset=(2**40 - 7, 0, 1), global_shape=(2**40, 6, 5), broadcast_dims=(1,))
    for axis in range(3):
        assert_alike(layer, WHOLE, spread(WHOLE, mesh, Shard(axis)), axis)


def test_a_shard_of_a_block() -> None:
    in_processes(2, a_shard_of_a_block)


LAYERS = [
    nn.Dropout(0.5),
    nn.Dropout(0.5, inplace=True),
    nn.Dropout(0.5, scaling="classic"),
    nn.Dropout(1.0),
    nn.GaussianDropout(0.3),
    nn.Dropout1d(0.5),
    nn.AlphaDropout(0.5),
    nn.FeatureAlphaDropout(0.5),
    nn.LockedDropout(0.5),
    nn.StochasticDepth(0.5),
    nn.DropConnect(0.5),
]


def every_layer() -> None:
    mesh = next(meshes())
    for layer in LAYERS:
        for axis in range(3):

            def called(x: Tensor, layer: torch.nn.Module = layer) -> Tensor:
                y: Tensor = layer(x * 1, key=7)  # times 1, since no leaf may be overwritten
                return y

            assert_alike(called, WHOLE, spread(WHOLE, mesh, Shard(axis)), (layer, axis))


def test_every_layer() -> None:
    in_processes(2, every_layer)


def sums_to_be_made() -> None:
    """A sum is made before alpha dropout's constants are added; the sum that a gradient is stays one."""
    for mesh in meshes():
        for kind in ("sum", "avg", "max"):
            share = DTensor.from_local(WHOLE * (1 + dist.get_rank()), mesh, [Partial(kind)] * mesh.ndim)
            found = drop(share, 0.5, key=7, law="alpha")
            assert isinstance(found, DTensor)
            torch.testing.assert_close(found.full_tensor(), drop(share.full_tensor(), 0.5, key=7, law="alpha"))
            for operator in OPERATORS:
                x = spread(WHOLE, mesh, *[Replicate()] * mesh.ndim)
                (gradient,) = torch.autograd.grad(operator(x, 0.5, key=7), x, share)
                assert isinstance(gradient, DTensor)
                assert gradient.placements == ((Replicate() if kind == "max" else Partial(kind)),) * mesh.ndim
                torch.testing.assert_close(gradient.full_tensor(), operator(share.full_tensor(), 0.5, key=7))


@WORLDS
def test_sums_to_be_made(world: int) -> None:
    in_processes(world, sums_to_be_made)


def rows_of_sequences() -> bool:
    """Where `(B, T, C)` is sharded along T, a rank's rows of `(B T, C)` have gaps: they are gathered first.

    False where this torch refuses to flatten them.
    """
    mesh = next(meshes())
    x = torch.linspace(1, 2, 4 * 8 * 3).reshape(4, 8, 3)
    try:
        flat = spread(x, mesh, Shard(1)).flatten(0, 1)
    except RuntimeError as error:
        if "Attempted to flatten multiple dimensions" in str(error):
            return False
        raise
    assert isinstance(flat, DTensor)
    found = drop(flat, 0.5, key=7)
    assert isinstance(found, DTensor)
    assert torch.equal(found.full_tensor(), drop(x.flatten(0, 1), 0.5, key=7))
    return True


def test_rows_of_sequences() -> None:
    if not all(in_processes(2, rows_of_sequences)):
        pytest.skip(f"torch {torch.__version__} flattens no sharded axis")


def drawn(seed: int, count: int) -> list[int]:
    """What torch's generator gives a process of its own, as keys."""
    torch.manual_seed(seed)
    return [int(torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64)) % 2**64 for _ in range(count)]


def default_keys(axis: str | None) -> tuple[list[Tensor], bool]:
    """Outputs under default keys, as every rank has them, and whether the rank's own generator moved as it always does.

    Ranks are seeded apart.
    """
    mesh = init_device_mesh("cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("data", "model"))
    part = mesh[axis] if axis else mesh
    drawn(dist.get_rank(), 1)
    state = torch.get_rng_state()
    x = distribute_tensor(WHOLE, part, [Shard(0), Replicate()][: part.ndim], src_data_rank=None)
    outputs = []
    for operator in OPERATORS:
        torch.manual_seed(dist.get_rank())
        found = operator(x, 0.5)
        assert isinstance(found, DTensor)
        outputs.append(found.full_tensor())
    return outputs, torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("axis", "first"), [(None, [0, 0, 0, 0]), ("model", [0, 0, 2, 2]), ("data", [0, 1, 0, 1])])
def test_a_mesh_takes_the_key_of_its_first_rank(axis: str | None, first: list[int]) -> None:
    """Ranks that hold one tensor agree however they were seeded; other replicas draw for themselves."""
    for (outputs, moved), source in zip(in_processes(4, default_keys, axis), first, strict=True):
        assert moved
        key = fold_in(drawn(source, 1)[0], source)
        for operator, output in zip(OPERATORS, outputs, strict=True):
            assert torch.equal(output, operator(WHOLE, 0.5, key=key))


def on_half_of_the_ranks() -> Tensor:
    mesh = DeviceMesh("cpu", torch.arange(2))
    x = spread(WHOLE, mesh, Shard(0))
    torch.manual_seed(dist.get_rank())
    found = gaussian(drop(x, 0.5), 0.1)
    found.square().sum().backward()
    assert isinstance(found, DTensor)
    return found.to_local().detach()


def test_ranks_outside_the_mesh_hold_nothing() -> None:
    first, second = (fold_in(key, 0) for key in drawn(0, 2))
    expected = gaussian(drop(WHOLE, 0.5, key=first), 0.1, key=second)
    outputs = in_processes(4, on_half_of_the_ranks)
    assert torch.equal(torch.cat(outputs[:2]), expected)
    assert all(output.numel() == 0 for output in outputs[2:])


def compiled() -> tuple[Tensor, Tensor]:
    mesh = next(meshes())

    def block(x: Tensor) -> Tensor:
        return gaussian(drop(drop(x.sin(), 0.5), 0.5, broadcast_dims=(0,)), 0.1).cos()

    # This backend partitions and simplifies the graphs as Inductor does, and generates no code.
    counter = CompileCounterWithBackend("aot_eager_decomp_partition")
    fast = torch.compile(block, fullgraph=True, backend=counter)
    results = []
    for function in (block, fast, fast):
        torch.manual_seed(dist.get_rank())
        x = spread(WHOLE, mesh, Shard(1))
        y = function(x)
        y.square().sum().backward()
        assert isinstance(y, DTensor)
        assert isinstance(x.grad, DTensor)
        results.append(torch.stack([y.full_tensor().detach(), x.grad.full_tensor()]))
    assert torch.equal(results[1], results[2])
    assert counter.frame_count == 1
    return results[0], results[1]


def test_compile() -> None:
    """One graph, whose keys the mesh agrees on when it runs."""
    for expected, found in in_processes(2, compiled):
        torch.testing.assert_close(found, expected)
        assert torch.equal(found == 0, expected == 0)
