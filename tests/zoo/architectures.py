"""The zoo: architectures that people use, which the checker and the inspection must be right about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.zoo import of_timm, of_torch, of_torchvision, of_transformers
from tests.zoo.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for library in (of_torch, of_torchvision, of_timm, of_transformers)
    for architecture in library.ARCHITECTURES
}

# What every run of the tests goes through in full. The whole zoo: python -m tests.zoo.report
SMALL_VISION = [
    *(
        f"torchvision/{name}"
        for name in ("alexnet", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "vit_b_16")
    ),
    *(f"timm/{name}" for name in ("convnext_atto", "efficientnet_b0", "eva02_tiny_patch14_224", "mixer_s16_224")),
    *(f"timm/{name}" for name in ("mobilevit_xxs", "naflexvit_base_patch16_gap", "poolformer_s12", "pvt_v2_b0")),
    *(f"timm/{name}" for name in ("regnety_002", "resnet18", "vit_tiny_patch16_224", "xcit_nano_12_p16_224")),
]
QUICK = [
    name
    for name, architecture in ARCHITECTURES.items()
    if architecture.library in ("torch", "transformers") or name in SMALL_VISION
]


def named(names: Iterable[str]) -> list[Any]:
    """Architectures as pytest's parameters: those of a library are in the zoo's tier."""
    return [
        pytest.param(name, marks=[] if ARCHITECTURES[name].library == "torch" else [pytest.mark.zoo]) for name in names
    ]
