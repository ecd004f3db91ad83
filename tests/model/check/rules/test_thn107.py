"""A p that does nothing is flagged; one that attention reads, or that a frozen part keeps off, is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn107_configured_never_runs")


class Attention(nn.Module):
    """As transformers has it: the module's p goes to the function."""

    def __init__(self, read: bool) -> None:
        super().__init__()
        self.dropout, self.read = nn.Dropout(0.1), read

    def forward(self, x: Tensor) -> Tensor:
        p = self.dropout.p if self.training and self.read else 0.0
        return nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=p)


def test_read_by_attention_or_not(findings: Findings) -> None:
    assert findings(Attention(read=True), torch.randn(2, 2, 5, 8)) == []
    (finding,) = findings(Attention(read=False), torch.randn(2, 2, 5, 8))
    assert "is never called" in finding.message


def test_kept_in_evaluation_mode(findings: Findings) -> None:
    class Stuck(nn.Dropout):
        def train(self, mode: bool = True) -> Stuck:
            return super().train(False)

    part = nn.Sequential(nn.Linear(8, 8), Stuck(0.2))
    (finding,) = findings(nn.Sequential(part, nn.Linear(8, 2)), torch.randn(4, 8))
    assert "stays in evaluation mode" in finding.message
    assert findings(nn.Sequential(part.requires_grad_(False), nn.Linear(8, 2)), torch.randn(4, 8)) == []


def test_a_block_without_use_for_it_among_others(findings: Findings) -> None:
    class Block(nn.Module):
        def __init__(self, inputs: int) -> None:
            super().__init__()
            self.layer, self.dropout, self.skips = nn.Linear(inputs, 8), nn.Dropout(0.2), inputs == 8

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)
            return x + self.dropout(out) if self.skips else out

    assert findings(nn.Sequential(Block(4), Block(8)), torch.randn(4, 4)) == []
    assert findings(nn.Sequential(Block(4), nn.Linear(8, 2)), torch.randn(4, 4))
