"""torchvision's models, with its own rates of dropout unless it builds without."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from tests.zoo.architecture import Architecture, images

THINNED: dict[str, Any] = {"dropout": 0.1, "attention_dropout": 0.1}

CLASSIFIERS: list[tuple[str, int, dict[str, Any]]] = [
    ("alexnet", 64, {}),
    ("convnext_tiny", 64, {}),
    ("densenet121", 64, {"drop_rate": 0.2}),
    ("efficientnet_b0", 64, {}),
    ("efficientnet_v2_s", 64, {}),
    ("googlenet", 96, {"init_weights": False}),
    ("inception_v3", 299, {"init_weights": False}),
    ("maxvit_t", 224, {}),
    ("mnasnet0_5", 64, {}),
    ("mobilenet_v2", 64, {}),
    ("mobilenet_v3_small", 64, {}),
    ("regnet_y_400mf", 64, {}),
    ("resnet18", 64, {}),
    ("resnext50_32x4d", 64, {}),
    ("shufflenet_v2_x0_5", 64, {}),
    ("squeezenet1_1", 64, {}),
    ("swin_t", 64, THINNED),
    ("swin_v2_t", 64, THINNED),
    ("vgg11", 32, {}),
    ("vgg11_bn", 32, {}),
    ("vit_b_16", 32, {"image_size": 32, **THINNED}),
]
SEGMENTERS = ["deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large"]


def build(module: str, name: str, **settings: Any) -> Callable[[], torch.nn.Module]:
    def made() -> torch.nn.Module:
        model: torch.nn.Module = getattr(importlib.import_module(module), name)(weights=None, **settings)
        return model

    return made


ARCHITECTURES = [
    *(
        Architecture(f"torchvision/{name}", build("torchvision.models", name, num_classes=10, **settings), images(size))
        for name, size, settings in CLASSIFIERS
    ),
    *(
        Architecture(
            f"torchvision/{name}",
            build("torchvision.models.segmentation", name, weights_backbone=None, num_classes=3),
            images(64),
        )
        for name in SEGMENTERS
    ),
    Architecture(
        "torchvision/r3d_18",
        build("torchvision.models.video", "r3d_18", num_classes=3),
        lambda: (torch.randn(2, 3, 4, 32, 32),),
    ),
]
