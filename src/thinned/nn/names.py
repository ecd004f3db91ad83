"""What a site is called, and the number that its name stands for: a part of the contract (docs/design/noise.md)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel

from .._torch import DropoutNd

Module = torch.nn.Module

# Where torch's wrappers keep the model that they wrap. A name is the same with them and without.
_WRAPPED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def site_number(name: str) -> int:
    """A site's 64-bit number: BLAKE2b, 8 bytes, of its name in UTF-8, read as little-endian.

    >>> hex(site_number("")), hex(site_number("encoder.layers.0.dropout"))
    ('0xb4b2797457a0a6e4', '0x2be38f92b88aa34a')
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def named_modules(model: Module) -> Iterator[tuple[str, Module]]:
    """Every module under the first name it has, as `torch.nn.Module.named_modules` does, less what wrappers add."""
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
    """The model inside torch's wrappers."""
    inside = [child for name, child in model._modules.items() if child is not None and _wraps(model, name)]
    return unwrapped(inside[0]) if inside else model


def _wraps(module: Module, child: str) -> bool:
    return child in _WRAPPED or (child == "module" and isinstance(module, DistributedDataParallel | DataParallel))


def sites(model: Module) -> Iterator[tuple[str, Module, str]]:
    """Every site: its name, the layer, and which of the layer's noises it is; a layer with one noise calls it ""."""
    for name, module in named_modules(model):
        for noise in getattr(module, "_noises", ()):
            yield ".".join(filter(None, (name, noise))), module, noise


def unreached(model: Module) -> list[str]:
    """The names of torch's own layers whose noise no stream reaches."""
    return [
        name or "the model itself"
        for name, module in named_modules(model)
        if not hasattr(module, "_noises")
        and (
            (isinstance(module, DropoutNd) and module.p > 0)
            or (isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention) and module.dropout > 0)
        )
    ]
