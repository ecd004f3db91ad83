"""One p at every depth is pointed out, once; decays and shallow models are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn403_same_stochastic_depth_everywhere")


@pytest.mark.zoo
def test_timm_with_and_without_decay(findings: Findings) -> None:
    import timm

    settings: dict[str, Any] = {
        "img_size": 32,
        "patch_size": 16,
        "embed_dim": 32,
        "num_heads": 2,
        "depth": 4,
        "num_classes": 4,
    }
    decayed: Any = timm.create_model("vit_tiny_patch16_224", drop_path_rate=0.2, **settings)
    assert findings(decayed, torch.randn(2, 3, 32, 32)) == []
    for block in decayed.blocks:
        block.drop_path1 = block.drop_path2 = type(decayed.blocks[1].drop_path1)(0.2)
    assert "0.2 in all 4" in findings(decayed, torch.randn(2, 3, 32, 32))[0].message


def test_three_blocks_are_no_depth(findings: Findings) -> None:
    from thinned.nn import StochasticDepth

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.path = nn.Linear(8, 8), StochasticDepth(0.2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.path(self.layer(x))
            return out

    assert findings(nn.Sequential(*(Block() for _ in range(3))), torch.randn(4, 8)) == []
