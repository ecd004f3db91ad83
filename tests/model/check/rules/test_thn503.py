"""Layers that run at random are flagged inside what waits for them, and nowhere else."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn503_layerdrop_under_fsdp")


@pytest.fixture(autouse=True)
def _one_rank(_no_ranks_are_left: None) -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]


class Encoder(nn.Module):
    def __init__(self, p: float = 0.4) -> None:
        super().__init__()
        self.layers, self.p = nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), p

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if not (self.training and torch.rand(()) < self.p):
                x = x + layer(x).relu()
        return x


LAYERS = ["layers.0", "layers.1", "layers.2"]


def test_both_kinds_of_fsdp_and_ddp(findings: Findings) -> None:
    from torch.distributed.fsdp import fully_shard

    sharded = Encoder()
    fully_shard(sharded)
    for model in (sharded, nn.parallel.DistributedDataParallel(Encoder())):
        assert [finding.place for finding in findings(model, torch.randn(2, 8))] == LAYERS


def test_without_a_wrapper_or_with_unused_parameters_found_it_is_left_alone(findings: Findings) -> None:
    searching = nn.parallel.DistributedDataParallel(Encoder(), find_unused_parameters=True)
    for model in (Encoder(), searching, nn.parallel.DistributedDataParallel(Encoder(p=0.0))):
        assert findings(model, torch.randn(2, 8)) == []
