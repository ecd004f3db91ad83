"""Noise on a DTensor: every rank thins what it holds, at the positions that this has in the whole.

So the masks and gradients are those of one process that holds everything, on any mesh. `key.py` imports this file when
the first DTensor comes; torch's own modules for it take half a second.
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
    """The key that the first rank of a DTensor's mesh drew, on all ranks of it; `key` itself for any other input.

    All of them have drawn one. They need not have been seeded alike nor have drawn as often as the others: ranks that
    hold parts or copies of one tensor and took masks of different keys would be wrong in silence.

    Cost: one broadcast of 8 bytes along each axis of the mesh. A key that is given needs none.
    """
    mesh = input.device_mesh if isinstance(input, DTensor) else None
    if mesh is None or mesh.get_coordinate() is None:
        return key
    key = key.to(mesh.device_type)
    for axis in range(mesh.ndim):
        if mesh.size(axis) > 1:
            # The same for all ranks in a compiled graph, too: where one may merge or drop a collective, all may.
            key = wait_tensor(broadcast(key, 0, (mesh, axis)))
    return key


def _on_shard(_: Any, operation: Any, types: Any, args: tuple[Any, ...], kwargs: Any) -> DTensor:
    """The operators' rule for DTensors. Autograd is above it: a gradient comes here with placements of its own."""
    x, key, law, linear, strides, base = args
    with torch.no_grad():
        x = _settled(x, linear)
        local = x.to_local()
        if x.device_mesh.get_coordinate() is not None:
            start = sum(first * stride for first, stride in zip(_offset(x), strides, strict=True))
            local = operation(local, key, law, linear, strides, signed(base + start))
        return DTensor.from_local(local, x.device_mesh, x.placements, run_check=False, shape=x.shape, stride=x.stride())


def _settled(x: DTensor, linear: bool) -> DTensor:
    """`x` where every rank holds final values of one block; what is anything else is gathered or summed first.

    A sum still to be made commutes with one mask on all its terms, but not with alpha dropout's constants.
    """

    def stays(placement: Placement) -> bool:
        if type(placement) is Partial:
            return linear and placement.reduce_op in ("sum", "avg")
        return type(placement) in (Shard, Replicate)  # not their subclasses, whose blocks have gaps

    placements = [placement if stays(placement) else Replicate() for placement in x.placements]
    return x if all(map(stays, x.placements)) else x.redistribute(placements=placements)


def _offset(x: DTensor) -> list[int]:
    """Where this rank's block starts in the whole: the mesh's axes, in order, cut an axis as `torch.chunk` does."""
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
