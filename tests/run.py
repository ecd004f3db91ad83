"""A model that is one function of itself and its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Run(nn.Module):
    """The function gets the module, whose children are those named, and the input."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)
