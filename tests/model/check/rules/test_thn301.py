"""Element-wise dropout on a convolution's map is flagged; on features, tokens and pointwise maps it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.model.known.called import Called
from torch import nn

from .conftest import Findings, rule

RULE = rule("thn301_elementwise_on_convolution")


def convolutions(*layers: nn.Module, kernel: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, kernel), nn.ReLU(), *layers)


def test_through_pooling_and_before_another_block(findings: Findings) -> None:
    model = convolutions(nn.MaxPool2d(2), nn.Dropout(0.2), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    (finding,) = findings(model, torch.randn(2, 3, 16, 16))
    assert "Use Dropout2d" in finding.message
    line = nn.Sequential(nn.Conv1d(3, 8, 3), nn.ReLU(), nn.Dropout(0.2), nn.Conv1d(8, 4, 3))
    (finding,) = findings(line, torch.randn(2, 3, 16))
    assert "Use Dropout1d" in finding.message


def test_features_tokens_channels_and_pointwise_maps_are_left_alone(findings: Findings) -> None:
    pooled = convolutions(nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2), nn.Flatten(), nn.Linear(8, 4))
    flattened = convolutions(nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(), nn.Linear(8 * 49, 4))
    tokens = convolutions(nn.Flatten(2), nn.Dropout(0.2), nn.Linear(196, 4))
    channels = convolutions(nn.Dropout2d(0.2), nn.Conv2d(8, 4, 3))
    pointwise = convolutions(nn.Dropout(0.2), nn.Conv2d(8, 4, 1), kernel=1)
    for model in (pooled, flattened, tokens, channels, pointwise):
        assert findings(model, torch.randn(2, 3, 16, 16)) == []


ADAPTIVE: dict[str, Callable[[int], nn.Module]] = {
    "module": nn.AdaptiveAvgPool2d,
    "function": lambda size: Called(F.adaptive_avg_pool2d, size),
    "module of maxima": nn.AdaptiveMaxPool2d,
    "function of maxima": lambda size: Called(F.adaptive_max_pool2d, size),
}


@pytest.mark.parametrize("form", ADAPTIVE)
def test_adaptive_pools(form: str, findings: Findings) -> None:
    """To one position: features, which are single units. To more: a map. Dropout before the pool: a map was thinned."""
    pool, x = ADAPTIVE[form], torch.randn(2, 3, 16, 16)
    ends = (nn.Flatten(), nn.Linear(8, 4))
    assert findings(convolutions(pool(1), nn.Dropout(0.2), *ends), x) == []
    (smaller,) = findings(convolutions(pool(4), nn.Dropout(0.2), nn.Conv2d(8, 4, 3)), x)
    assert "map [2, 8, 4, 4]" in smaller.message
    (before,) = findings(convolutions(nn.Dropout(0.2), pool(1), *ends), x)
    assert "map [2, 8, 14, 14]" in before.message


@pytest.mark.zoo
def test_dropblock_is_left_alone(findings: Findings) -> None:
    from torchvision.ops import DropBlock2d

    assert findings(convolutions(DropBlock2d(0.2, 3), nn.Conv2d(8, 4, 3)), torch.randn(2, 3, 16, 16)) == []
