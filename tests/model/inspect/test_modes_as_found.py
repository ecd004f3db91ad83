"""Shares of time are of a pass in training mode, whatever the modes that the model was found in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thinned


class MoreInTraining(nn.Module):
    """It makes calls in training mode that it does not make in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.first, self.second = nn.Linear(8, 8), nn.Dropout(0.5), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        if self.training:
            x = F.dropout(x.relu(), 0.5)
        result: Tensor = self.second(self.first(x))
        return result


@pytest.mark.parametrize("training", [True, False])
def test_modes_that_differ(training: bool) -> None:
    model = MoreInTraining().train(training)
    model.first.train(not training)
    found = {place.name: place for place in thinned.inspect(model, torch.ones(300, 8)).places}
    assert {name: (place.mode, place.now) for name, place in found.items()} == {
        ":dropout": ("train" if training else "eval", training),
        "first": ("eval" if training else "train", not training),
        "second": ("train" if training else "eval", training),
    }
    assert all(place.share is not None and place.share > 0 for place in found.values())
    assert (model.training, model.first.training) == (training, not training)
