"""A dropout right behind another is flagged where both do the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn203_two_dropouts_in_a_row")


def test_through_views_and_by_function(findings: Findings) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.layer = nn.Dropout(0.5), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = nn.functional.dropout(x.relu(), 0.5, self.training)
            out: Tensor = self.layer(self.dropout(h.view(-1, 4).reshape(x.shape)))
            return out

    (finding,) = findings(Twice(), torch.randn(8, 16))
    assert finding.place == "dropout"
    assert "of 0.5 and 0.5 is one of 0.75" in finding.message


def test_a_mask_by_hand_behind_a_module(findings: Findings) -> None:
    class Mask(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (torch.rand_like(x) > 0.3) / 0.7 if self.training else x

    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.2), Mask(), nn.Linear(16, 4))
    (finding,) = findings(model, torch.randn(8, 16))
    assert finding.place.startswith("3")


def test_one_module_behind_itself(findings: Findings) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.layer = nn.Dropout(0.2), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(self.dropout(self.dropout(self.dropout(x.relu()))))
            return out

    (finding,) = findings(Twice(), torch.randn(8, 16))
    assert finding.place == "dropout"
    assert "behind itself: the two of 0.2 and 0.2 is one of 0.36" in finding.message


def test_one_module_before_and_behind_a_layer_is_left_alone(findings: Findings) -> None:
    dropout = nn.Dropout(0.2)
    model = nn.Sequential(dropout, nn.Linear(16, 16), dropout, nn.ReLU(), dropout, nn.Linear(16, 4))
    assert findings(model, torch.randn(8, 16)) == []


def test_other_kinds_of_noise_and_layers_between_are_left_alone(findings: Findings) -> None:
    from thinned.nn import StochasticDepth

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 16), nn.Dropout(0.1)
            )
            self.path = StochasticDepth(0.2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.path(self.layers(x))
            return out

    assert findings(nn.Sequential(Block(), Block(), nn.Dropout(0.1), nn.Linear(16, 4)), torch.randn(8, 16)) == []


class Adapter(nn.Module):
    """A frozen layer with a low-rank branch beside it, as LoRA's."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.base_layer = nn.Linear(16, 16).requires_grad_(False)
        self.lora_dropout, self.lora_A, self.lora_B = nn.Dropout(p), nn.Linear(16, 4), nn.Linear(4, 16)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base_layer(x) + 2.0 * self.lora_B(self.lora_A(self.lora_dropout(x.to(torch.float32))))
        return out


def test_a_branch_beside_another_path_is_left_alone(findings: Findings) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = Adapter(0.05), Adapter(0.05), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.q(x) * self.k(x) + self.v(x)
            return out

    assert findings(nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1), Attention()), torch.randn(4, 16)) == []

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.layer = nn.Dropout(0.2), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.layer(self.dropout(x))
            return out

    assert findings(nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1), Beside()), torch.randn(4, 16)) == []


def test_several_places_behind_one_are_one_finding(findings: Findings) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drops = nn.ModuleList(nn.Dropout(0.2) for _ in range(3))
            self.heads = nn.ModuleList(nn.Linear(16, 2) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            parts = [head(drop(x)) for drop, head in zip(self.drops, self.heads, strict=True)]
            return torch.stack(parts).sum(0) + torch.zeros_like(x).sum()

    (finding,) = findings(nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1), Heads()), torch.randn(4, 16))
    assert finding.place == "2.drops.0"
    assert "of 0.1 and 0.2 is one of 0.28, and so at '2.drops.1', '2.drops.2'. Keep one" in finding.message
