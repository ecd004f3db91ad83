"""MaxNorm on ranks: DistributedDataParallel and FSDP2 have the weights that one process has."""

from __future__ import annotations

import pytest
import torch
from tests.distributed.processes import in_processes
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import thinned

pytestmark = pytest.mark.ranks


def trained(wrapper: str) -> list[Tensor]:
    """The weights after three bounded steps on the same batch everywhere."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    wrapped: nn.Module = model
    if wrapper == "DDP":
        wrapped = DistributedDataParallel(model)
    elif wrapper == "FSDP2":
        mesh = init_device_mesh("cpu", (2,))
        fully_shard(model[0], mesh=mesh)
        fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=1.0, momentum=0.9)
    constraint = thinned.MaxNorm(wrapped, c=1.0)
    assert constraint.weights == ("0.weight", "2.weight")
    constraint.attach(optimizer)
    x = torch.linspace(-1, 1, 24).reshape(4, 6)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(wrapped(x), torch.arange(4) % 3).backward()
        optimizer.step()
    found = [parameter.detach() for parameter in model.parameters()]
    return [value.full_tensor() if isinstance(value, DTensor) else value for value in found]


@pytest.mark.parametrize("wrapper", ["DDP", "FSDP2"])
def test_ranks_have_the_weights_of_one_process(wrapper: str) -> None:
    alone = trained("none")
    norms = [value.norm(dim=1) for value in alone if value.ndim == 2]
    assert max(float(values.max()) for values in norms) == pytest.approx(1.0, abs=1e-6)
    for weights in in_processes(2, trained, wrapper):
        for one, other in zip(alone, weights, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
