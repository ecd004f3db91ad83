"""Noise on a DTensor: every rank drops units of its shard, at the shard's positions in the whole tensor.

So masks and gradients are the same as in one process that holds the whole tensor, on any mesh. `key.py` imports this
file at the first DTensor, because torch's modules for DTensor take half a second to import.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from .. import _torch
from . import operator  # noqa: F401  defines torch.ops.thinned
from .philox import signed

broadcast, wait_tensor = _torch.broadcast(), _torch.wait_tensor()


def agreed(key: Tensor, input: Tensor) -> Tensor:
    """The key that the first rank of a DTensor's mesh drew, for all ranks of the mesh; `key` itself for another input.

    Every rank has drawn a key of its own, and these keys may differ: the ranks may have other seeds, or have drawn more
    often. With different keys the shards or copies of one tensor would have parts of different masks, without an error.

    Cost: one broadcast of 8 bytes along each axis of the mesh. It is not called for a key that the user gives.
    """
    mesh = input.device_mesh if isinstance(input, DTensor) else None
    if mesh is None or mesh.get_coordinate() is None:
        return key
    key = key.to(mesh.device_type)
    for axis in range(mesh.ndim):
        if mesh.size(axis) > 1:
            # In a compiled graph, too, every rank has this collective: the compiler can only remove or merge it on all
            # ranks alike.
            key = wait_tensor(broadcast(key, 0, (mesh, axis)))
    return key


def _on_shard(_: Any, operation: Any, types: Any, args: tuple[Any, ...], kwargs: Any) -> DTensor:
    """The operators' rule for DTensors. Autograd is above it: a gradient is a DTensor with its own placements."""
    x, key, law, linear, strides, base = args
    with torch.no_grad():
        x = _settled(x, linear)
        local = x.to_local()
        if x.device_mesh.get_coordinate() is not None:
            start = sum(first * stride for first, stride in zip(_offset(x), strides, strict=True))
            local = operation(local, key, law, linear, strides, signed(base + start))
        return DTensor.from_local(local, x.device_mesh, x.placements, run_check=False, shape=x.shape, stride=x.stride())


def _settled(x: DTensor, linear: bool) -> DTensor:
    """`x` with placements on which every rank can work alone. Other placements are gathered or summed first.

    A pending sum (`Partial`) may stay if the map is linear: all terms get the same mask, so masking the terms masks the
    sum. With the constants of alpha dropout, this is not so.
    """

    def stays(placement: Placement) -> bool:
        if type(placement) is Partial:
            return linear and placement.reduce_op in ("sum", "avg")
        return type(placement) in (Shard, Replicate)  # not a subclass: its shards are not contiguous blocks

    placements = [placement if stays(placement) else Replicate() for placement in x.placements]
    return x if all(map(stays, x.placements)) else x.redistribute(placements=placements)


def _offset(x: DTensor) -> list[int]:
    """The start of this rank's block in the whole tensor.

    The axes of the mesh divide it one after another, each as `torch.chunk` does.
    """
    offset, sizes = [0] * x.ndim, list(x.shape)
    for axis, placement in enumerate(x.placements):
        if isinstance(placement, Shard):
            size = sizes[placement.dim]
            chunk = -(-size // x.device_mesh.size(axis))
            start = min(chunk * x.device_mesh.get_local_rank(axis), size)
            offset[placement.dim] += start
            sizes[placement.dim] = min(chunk, size - start)
    return offset


for _name in ("drop", "gaussian"):
    torch.library.register_torch_dispatch(f"thinned::{_name}", DTensor, _on_shard)
