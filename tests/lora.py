"""Adapters as PEFT builds them, for tests where PEFT is not installed: its names, its layers, its configuration."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class LoraConfig:
    """The settings of low-rank adapters that the tests use, by PEFT's names."""

    target_modules: list[str]
    lora_dropout: float = 0.0
    r: int = 8


class AdaptedLinear(nn.Module):
    """`lora.Linear` of PEFT: a frozen layer, and beside it a low-rank branch behind a dropout."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.base_layer = base
        dropout = nn.Dropout(config.lora_dropout) if config.lora_dropout else nn.Identity()
        self.lora_dropout = nn.ModuleDict({"default": dropout})
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, config.r, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(config.r, base.out_features, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        branch = self.lora_B["default"](self.lora_A["default"](self.lora_dropout["default"](x)))
        out: Tensor = self.base_layer(x) + branch
        return out


class LoraModel(nn.Module):
    """What PEFT has between its model and the one that it adapts."""

    def __init__(self, model: nn.Module, config: LoraConfig) -> None:
        super().__init__()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parent in [*model.modules()]:
            for name, child in [*parent.named_children()]:
                if name in config.target_modules and isinstance(child, nn.Linear):
                    setattr(parent, name, AdaptedLinear(child, config))
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)


class PeftModel(nn.Module):
    """A model with adapters, and their configurations by name."""

    def __init__(self, model: nn.Module, config: LoraConfig) -> None:
        super().__init__()
        self.peft_config = {"default": config}
        self.base_model = LoraModel(model, config)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model(*args, **kwargs)


def as_peft() -> types.ModuleType:
    """A module `peft` that has them."""
    module = types.ModuleType("peft")
    vars(module).update(LoraConfig=LoraConfig, get_peft_model=PeftModel)
    return module
