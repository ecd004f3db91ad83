"""Child keys: `fold_in` for keys that are numbers and for keys that are tensors.

For tensors it is the operator `thinned::fold_in`, because under torch.compile and torch.func.vmap a key has no value in
Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import noise
from ..noise.kernel import kernel, module
from ..noise.philox import FOLD_IN_DOMAIN, blocks
from .argument import check_key
from .philox import signed

_library = torch.library.Library("thinned", "FRAGMENT")
_library.define("fold_in(Tensor key, SymInt n) -> Tensor")


def fold_in(key: Tensor, n: int) -> Tensor:
    """`thinned.noise.fold_in` of every key in a tensor.

    Arguments:
        key: int64 with the bits of unsigned keys, any shape.
        n: the number of the child, in [0, 2**64).

    Returns:
        The child keys: int64, of the shape and device of `key`.

    Cost: a loop in Python over the keys, because keys are few. Keys on a GPU are copied to the CPU first.

    >>> fold_in(torch.tensor(0), 1).item() % 2**64 == noise.fold_in(0, 1)
    True
    """
    child: Tensor = torch.ops.thinned.fold_in(key, signed(n))
    return child


def fold_number(key: int, n: int) -> int:
    """`thinned.noise.fold_in`, by the compiled kernel if there is one: it takes 0.2 microseconds instead of 60."""
    child: int = noise.fold_in(key, n) if kernel.run is None else module.fold_in(key, n)
    return child


def fold_numbers(keys: Sequence[int], n: int) -> list[int]:
    """`fold_number` of many keys. Without the kernel it takes 150 microseconds for a hundred keys."""
    if kernel.run is not None:
        return [module.fold_in(key, n) for key in keys]
    words = blocks(np.array(keys, dtype=np.uint64), np.uint64(n), FOLD_IN_DOMAIN).tolist()
    return [low | high << 32 for low, high, *_ in words]


def _kernel(key: Tensor, n: int) -> Tensor:
    check_key("fold_in", key)
    children = [signed(fold_number(parent % 2**64, n % 2**64)) for parent in key.flatten().tolist()]
    return torch.tensor(children, dtype=torch.int64, device=key.device).reshape(key.shape)


def _meta(key: Tensor, n: int) -> Tensor:
    check_key("fold_in", key)
    return torch.empty_like(key, memory_format=torch.contiguous_format)


def _vmap(info: Any, in_dims: tuple[Any, ...], key: Tensor, n: int) -> tuple[Tensor, int]:
    return fold_in(key, n), in_dims[0]


_library.impl("fold_in", _kernel, "CompositeExplicitAutograd")
torch.library.register_fake("thinned::fold_in", _meta, lib=_library)
torch.library.register_vmap("thinned::fold_in", _vmap, lib=_library)
