"""A row of the zoo: a well-known architecture that builds offline, without weights, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Architecture(NamedTuple):
    """`build()` makes the model, `example()` the keyword or positional arguments of one small forward pass."""

    name: str
    build: Callable[[], torch.nn.Module]
    example: Callable[[], tuple[Tensor, ...] | Mapping[str, Tensor]]

    @property
    def library(self) -> str:
        """Who wrote it: "timm" for "timm/vit_tiny_patch16_224"."""
        return self.name.partition("/")[0]

    def made(self) -> tuple[torch.nn.Module, tuple[Tensor, ...], dict[str, Any]]:
        """The model and its arguments, the same ones at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, example = self.build(), self.example()
        return (model, (), dict(example)) if isinstance(example, Mapping) else (model, example, {})


def images(size: int, batch: int = 2) -> Callable[[], tuple[Tensor, ...]]:
    """`batch` images of three channels."""
    return lambda: (torch.randn(batch, 3, size, size),)


def tokens(vocabulary: int, length: int, batch: int = 2) -> Tensor:
    """Token numbers, none of the first five, which mark beginnings, ends and padding."""
    return torch.randint(5, vocabulary, (batch, length))


def named(**tensors: Callable[[], Tensor]) -> Callable[[], Mapping[str, Any]]:
    """Keyword arguments, made in order."""
    return lambda: {name: make() for name, make in tensors.items()}
