"""Which parameters are a unit's incoming weights, and along which axes: the table that constraints read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from .._torch import ConvNd, ConvTransposeNd
from .names import Module, named_modules
from .weight import DropConnect

# Of every kind of module, the names of the weights that read its input.
_NAMES: tuple[tuple[type[Module], str], ...] = (
    (torch.nn.Linear, "weight"),
    (ConvNd, "weight"),
    (torch.nn.RNNBase, r"weight_(ih|hh|hr)_l\d+(_reverse)?"),
    (torch.nn.RNNCellBase, "weight_(ih|hh)"),
    (torch.nn.Embedding, "weight"),
    (torch.nn.EmbeddingBag, "weight"),
    (torch.nn.Bilinear, "weight"),
    (torch.nn.MultiheadAttention, "in_proj_weight|[qkv]_proj_weight"),
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """Where a weight is: looked up at every use, because `.to()` and loading may put another parameter there."""

    name: str  # in the model
    kind: Module  # whose forward reads it
    home: Module  # whose parameter it is: the same, unless it is parametrized
    attribute: str

    def parameter(self) -> Tensor:
        found = self.home._parameters.get(self.attribute)
        if found is None:
            raise RuntimeError(
                f"`MaxNorm`: {self.name} must still be a parameter. It is none: weight_norm, pruning or a "
                "parametrization has moved it. Make the constraint anew."
            )
        return found

    def by_unit(self) -> tuple[Tensor, Tensor]:
        """A view of the weight in which units are axes of their own, and each one's norm, in float32 at least."""
        vectors = self.parameter()
        if isinstance(self.kind, ConvTransposeNd):
            # (in, out / groups, taps): the channels of a group read the group's share of the input.
            vectors = vectors.unflatten(0, (self.kind.groups, -1))
            axes: tuple[int, ...] = (1, *range(3, vectors.ndim))
        elif _transposed(self.kind):
            axes = (0,)
        else:
            axes = tuple(range(1, vectors.ndim))
        wide = torch.promote_types(vectors.dtype, torch.float32)
        return vectors, torch.linalg.vector_norm(vectors, dim=axes, keepdim=True, dtype=wide)


def incoming(root: Module, patterns: tuple[str, ...]) -> tuple[tuple[Incoming, ...], tuple[str, ...]]:
    """The weights that the patterns name, each once; and the names of all other parameters of two and more axes."""
    found: dict[int, Incoming] = {}
    others: dict[int, str] = {}
    unused = set(patterns)
    for name, module in named_modules(root):
        for attribute in _attributes(module):
            full = _join(name, attribute)
            matching = {pattern for pattern in patterns if fnmatchcase(name, pattern) or fnmatchcase(full, pattern)}
            unused -= matching
            if matching or not patterns:
                weight = Incoming(full, module, *_home(module, attribute, full))
                found.setdefault(id(weight.parameter()), weight)
        for attribute, parameter in module._parameters.items():
            if parameter is not None and not torch.nn.parameter.is_lazy(parameter) and parameter.ndim > 1:
                others.setdefault(id(parameter), _join(name, attribute))
    if unused or not found:
        what = ", ".join(map(repr, sorted(unused))) or type(root).__name__
        raise ValueError(
            "`MaxNorm`: `patterns` must name linear, convolution, recurrent, embedding, bilinear or attention layers "
            f"of the model, or their weights. Got {what}, in which there is none. "
            f"Parameters: {', '.join(others.values()) or 'none of two axes'}."
        )
    return tuple(found.values()), tuple(name for key, name in others.items() if key not in found)


def _join(*names: str) -> str:
    return ".".join(filter(None, names))


def _transposed(module: Module) -> bool:
    """The Conv1D of transformers, GPT-2's linear layer: its weight is (in, out)."""
    return any(
        kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.") for kind in type(module).__mro__
    )


def _attributes(module: Module) -> Iterator[str]:
    """The names of a module's incoming weights, parameters or not."""
    names = next((names for kind, names in _NAMES if isinstance(module, kind)), None)
    if names is None and _transposed(module):
        names = "weight"
    if names is None:
        return
    # A parametrized module has lost the parameter; pruning and the old weight_norm have put a tensor in its place.
    for name in dict.fromkeys([*module._parameters, *getattr(module, "parametrizations", ()), *vars(module)]):
        if re.fullmatch(names, name) and module._parameters.get(name, module) is not None:
            yield name


def _home(module: Module, attribute: str, name: str) -> tuple[Module, str]:
    """The module that has the parameter itself, and the parameter's name there."""
    parameter = module._parameters.get(attribute)
    if parameter is not None:
        if torch.nn.parameter.is_lazy(parameter):
            raise ValueError(
                f"`MaxNorm`: weights must be initialised. Got {name}, which is not yet. Run the model once before."
            )
        return module, attribute
    made = "weight_norm or pruning"
    if parametrize.is_parametrized(module, attribute):
        steps: Any = module.parametrizations[attribute]  # type: ignore[index]
        if all(isinstance(step, DropConnect) for step in steps):
            return steps, "original"
        made = ", ".join(type(step).__name__ for step in steps)
    raise ValueError(
        f"`MaxNorm`: a weight must be a parameter. Got {name}, which {made} makes from other parameters, so that a "
        "bound on them is none on it. Name the other layers by patterns, or take that off first."
    )
