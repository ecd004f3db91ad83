"""Fresh masks at each step are flagged around layers and cells; locked masks and single steps are not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn302_fresh_masks_each_rnn_step")


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.dropout, self.head = nn.GRUCell(8, 16), nn.Dropout(0.3), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 16)
        for step in x.unbind(1):
            state = self.dropout(self.cell(step, state))
        out: Tensor = self.head(state)
        return out


class Last(nn.Module):
    def __init__(self, last: bool) -> None:
        super().__init__()
        self.layer, self.dropout, self.head, self.last = nn.GRU(8, 16), nn.Dropout(0.3), nn.Linear(16, 4), last

    def forward(self, x: Tensor) -> Tensor:
        states = self.layer(x)[0]
        out: Tensor = self.head(self.dropout(states[-1] if self.last else states))
        return out


def test_in_a_loop_and_behind_a_layer(findings: Findings) -> None:
    (finding,) = findings(Loop(), torch.randn(2, 6, 8))
    assert "called 6 times" in finding.message
    (finding,) = findings(Last(last=False), torch.randn(6, 2, 8))
    assert "behind a recurrent layer" in finding.message


def test_the_last_step_locked_masks_and_other_layers_are_left_alone(findings: Findings) -> None:
    from thinned.nn import LockedDropout

    locked = nn.Sequential(nn.Linear(8, 8), LockedDropout(0.3), nn.LSTM(8, 16, 2, dropout=0.2, batch_first=True))
    tokens = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 8))
    for model in (Last(last=True), locked, tokens):
        assert findings(model, torch.randn(4, 6, 8)) == []


def test_zoneout_by_hand_is_left_alone(findings: Findings) -> None:
    class Zoneout(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            state = x.new_zeros(len(x), 8)
            for step in x.unbind(1):
                new = self.cell(step, state)
                kept = (torch.rand_like(new) < 0.1).float() if self.training else 0.1
                state = kept * state + (1 - kept) * new
            return state

    assert findings(nn.Sequential(Zoneout(), nn.Linear(8, 2)), torch.randn(4, 6, 8)) == []


def test_one_mask_for_all_steps_made_by_hand(findings: Findings) -> None:
    class Masked(nn.Module):
        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps, self.layer = steps, nn.GRU(8, 8, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                mask = torch.bernoulli(x[:, : self.steps], p=0.7)
                x = torch.where(mask.expand_as(x) == 1, x, 0) / 0.7
            out: Tensor = self.layer(x)[0]
            return out

    assert findings(Masked(1), torch.randn(4, 6, 8)) == []
    (finding,) = findings(Masked(6), torch.randn(4, 6, 8))
    assert "before a recurrent layer" in finding.message
