"""Dropout of many tensors at once that are stacked along the first axis, each with a key and a rate of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise.kernel import DROP, TYPES, kernel
from . import cpu
from .call import drop, law_constants


def drop_each(x: Tensor, ps: Sequence[float], keys: Sequence[int]) -> None:
    """Drop units in place: `x[i] = drop(x[i], ps[i], key=keys[i])`, bit for bit. Not for autograd.

    Cost: one call of the kernel a key, 1 microsecond where `drop` takes 12, which is most of the time of a small
    tensor.

    >>> x = torch.ones(2, 8)
    >>> drop_each(x, [0.5, 0.0], [7, 7])
    >>> x
    tensor([[0., 2., 2., 2., 2., 0., 2., 0.],
            [1., 1., 1., 1., 1., 1., 1., 1.]])
    """
    if x.dtype != torch.float32 or not (x.is_contiguous() and cpu.able(x)) or x.requires_grad:
        for part, p, key in zip(x, ps, keys, strict=True):
            part.copy_(drop(part, float(p), key=key))
        return
    shape, strides = tuple(x.shape[1:]), x.stride()[1:]
    start, size, form = x.data_ptr(), x.stride(0) * x.element_size(), TYPES["float32"]
    threads, run = torch.get_num_threads(), kernel.run
    for number, (p, key) in enumerate(zip(ps, keys, strict=True)):
        if p:
            at = start + number * size
            constants = law_constants("drop_each", "inverted", float(p), shape, ())
            run(DROP, form, at, at, 0, shape, strides, strides, strides, threads, key, *constants)
    torch.autograd.graph.increment_version(x)
