"""The name of a site, and the number computed from it: a part of the noise contract (docs/design/noise.md)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel

from .._torch import DropoutNd

Module = torch.nn.Module

# The attributes in which torch's wrappers hold the wrapped model. They are left out of names, so that a site has the
# same name with a wrapper and without.
_WRAPPED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def site_number(name: str) -> int:
    """The 64-bit number of a site: the 8-byte BLAKE2b hash of its name in UTF-8, read as little-endian.

    >>> hex(site_number("")), hex(site_number("encoder.layers.0.dropout"))
    ('0xb4b2797457a0a6e4', '0x2be38f92b88aa34a')
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def named_modules(model: Module) -> Iterator[tuple[str, Module]]:
    """Every module once, by its first name: as `torch.nn.Module.named_modules`, but without the names of wrappers."""
    seen: set[int] = set()

    def walk(module: Module, name: str) -> Iterator[tuple[str, Module]]:
        if id(module) in seen:
            return
        seen.add(id(module))
        yield name, module
        for child_name, child in module._modules.items():
            if child is not None:
                inside = _wraps(module, child_name)
                yield from walk(child, name if inside else f"{name}.{child_name}" if name else child_name)

    return walk(model, "")


def unwrapped(model: Module) -> Module:
    """The model without torch's wrappers around it."""
    inside = [child for name, child in model._modules.items() if child is not None and _wraps(model, name)]
    return unwrapped(inside[0]) if inside else model


def _wraps(module: Module, child: str) -> bool:
    """Whether a module is a wrapper of torch, and this child the wrapped model."""
    return child in _WRAPPED or (child == "module" and isinstance(module, DistributedDataParallel | DataParallel))


def sites(model: Module) -> Iterator[tuple[str, Module, str]]:
    """Every site: its name, the layer, and the name of the noise in the layer; "" if the layer has one noise."""
    for name, module in named_modules(model):
        for noise in getattr(module, "_noises", ()):
            yield ".".join(filter(None, (name, noise))), module, noise


def unreached(model: Module) -> list[str]:
    """The names of torch's own layers with dropout: they do not draw by key, so no stream determines their noise."""
    return [
        name or "the model itself"
        for name, module in named_modules(model)
        if not hasattr(module, "_noises")
        and (
            (isinstance(module, DropoutNd) and module.p > 0)
            or (isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention) and module.dropout > 0)
        )
    ]
