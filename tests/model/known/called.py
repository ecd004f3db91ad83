"""One call of a function as a module, and torch's functions by the names that the vocabulary has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinned.model.known.functions import canonical


class Called(nn.Module):
    """One call of a function as a module."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        super().__init__()
        self.function, self.arguments = function, arguments

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.function(x, *self.arguments)
        return result


def named(name: str) -> Callable[..., Any]:
    """torch's function of a canonical name, as people call it."""
    found = getattr(F, name, None) or getattr(torch, name)
    assert canonical(found) == name
    return found  # type: ignore[no-any-return]
