"""Dropout on a residual sum is flagged where the sum is skipped along again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn204_dropout_after_residual_add")


class Block(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer, self.norm, self.dropout, self.how = nn.Linear(16, 16), nn.LayerNorm(16), nn.Dropout(0.1), how

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x).relu()
        out: Tensor
        match self.how:
            case "normed after":
                out = self.norm(self.dropout(x + h))
            case "activated":
                out = self.dropout((x + h).relu())
            case "in place":
                h += x
                out = self.dropout(h)
            case "bert":
                out = self.norm(self.dropout(h) + x)
            case "two layers":
                out = self.dropout(self.layer(x) + self.norm(x))
        return out


def test_each_form_is_flagged(findings: Findings) -> None:
    for how in ("normed after", "activated", "in place"):
        model = nn.Sequential(nn.Linear(8, 16), *(Block(how) for _ in range(3)), nn.Linear(16, 4))
        # Behind the last sum comes no further skip.
        assert [finding.place for finding in findings(model, torch.randn(8, 8))] == ["1.dropout", "2.dropout"], how


def test_branches_sums_without_skip_and_the_last_sum_are_left_alone(findings: Findings) -> None:
    for how in ("bert", "two layers"):
        model = nn.Sequential(nn.Linear(8, 16), *(Block(how) for _ in range(3)), nn.Linear(16, 4))
        assert findings(model, torch.randn(8, 8)) == [], how
    last = nn.Sequential(nn.Linear(8, 16), Block("bert"), Block("activated"), nn.Linear(16, 4))
    assert findings(last, torch.randn(8, 8)) == []


def test_sums_of_embeddings_and_encoded_positions_are_left_alone(findings: Findings) -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(20, 16), nn.Embedding(7, 16)
            self.convolution, self.dropout = nn.Conv1d(16, 16, 3, padding=1), nn.Dropout(0.1)
            self.blocks = nn.Sequential(Block("bert"), Block("bert"), nn.Linear(16, 4))

        def forward(self, words: Tensor) -> Tensor:
            x = self.dropout(self.words(words) + self.places(torch.arange(words.shape[1])))
            x = self.dropout(x + self.convolution(x.mT).mT)  # as wav2vec 2.0 encodes positions
            out: Tensor = self.blocks(x)
            return out

    assert findings(Encoder(), torch.randint(0, 20, (2, 7))) == []
