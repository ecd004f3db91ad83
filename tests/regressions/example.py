"""A small module, and an input for it, of every row of the variants table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thinned.nn import DropoutAdd
from thinned.nn.variants import Variant

FEATURES = 6


class DropoutAddToOnes(DropoutAdd):
    """`DropoutAdd` of one input, as all other layers are: the residual is 1 everywhere."""

    def forward(self, input: Tensor, **arguments: Any) -> Tensor:  # type: ignore[override]
        return super().forward(input, torch.ones_like(input), **arguments)


def build(variant: Variant, p: float, **settings: Any) -> torch.nn.Module:
    """The variant's module at this rate, in every place where it has one; a module of one input in every case."""
    module: Callable[..., torch.nn.Module] = DropoutAddToOnes if variant.module is DropoutAdd else variant.module
    arguments = inspect.signature(variant.module).parameters
    sizes = dict.fromkeys(("in_features", "out_features", "input_size", "hidden_size"), FEATURES)
    rates = dict.fromkeys(("p", "dropout", "recurrent_dropout"), p)
    wanted = {name: value for name, value in (sizes | rates).items() if name in arguments}
    return module(**wanted, **settings)


def sample(variant: Variant, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values in [1, 2), in the variant's layout: at least 32 draws, so that equal masks are no accident."""
    shape = [32, 5, 4, 3][: len(variant.layout.split()) - 1]
    return (torch.rand(*shape, FEATURES, generator=torch.Generator().manual_seed(0)) + 1).to(dtype)


def repeated(variant: Variant, values: Tensor) -> Tensor:
    """A row of values as the last axis of the variant's layout, the same row everywhere."""
    return values.expand(*[16, 4, 2, 2][: len(variant.layout.split()) - 1], len(values))


def field(variant: Variant, draws: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Ones in the variant's layout, with that many draws on the first axis that is not shared, and two units a draw
    along shared ones."""
    layout, shared = variant.layout.split(), variant.shared.split()
    first = next(axis for axis in layout if axis not in shared)
    return torch.ones([draws if axis == first else 2 if axis in shared else 1 for axis in layout], dtype=dtype)


def run(module: Callable[..., Any], *inputs: Tensor, **arguments: Any) -> Tensor:
    """The output; of a recurrent module, that of every step."""
    output = module(*inputs, **arguments)
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result
