"""A module at two places is pointed out; a loop over time is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn502_one_module_two_places")


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.dropout, self.head = nn.GRUCell(8, 8), nn.Dropout(0.3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 8)
        outputs = []
        for step in x.unbind(1):
            state = self.cell(self.dropout(step), state)
            outputs.append(self.head(state))
        return torch.stack(outputs, 1)


def test_one_instance_twice_in_a_sequential(findings: Findings) -> None:
    dropout = nn.Dropout(0.2)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), dropout, nn.Linear(8, 8), nn.ReLU(), dropout, nn.Linear(8, 2))
    (finding,) = findings(model, torch.randn(4, 8))
    assert (finding.place, "2 places" in finding.message) == ("2", True)


def test_loops_and_shared_blocks_are_left_alone(findings: Findings) -> None:
    assert findings(Loop(), torch.randn(2, 6, 8)) == []
    assert findings(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 2)), torch.randn(4, 8)) == []
