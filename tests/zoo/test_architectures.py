"""The zoo is wide, and what no other test runs in full builds and runs in both modes, offline, on one small example."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from tests.zoo.architectures import ARCHITECTURES, QUICK
from torch import Tensor


def test_the_zoo_is_wide() -> None:
    counted = Counter(architecture.library for architecture in ARCHITECTURES.values())
    assert counted["torch"] >= 15
    assert counted["torchvision"] >= 20
    assert counted["timm"] >= 50
    assert counted["transformers"] >= 50


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in QUICK])
def test_runs_in_both_modes(name: str) -> None:
    model, args, kwargs = ARCHITECTURES[name].made()
    with torch.no_grad():
        for mode in (True, False):
            leaves, _ = torch.utils._pytree.tree_flatten(model.train(mode)(*args, **kwargs))
            tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
            assert tensors
            assert all(tensor.isfinite().all() for tensor in tensors)
