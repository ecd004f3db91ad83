"""The usual call in training, in one call of the compiled kernel: a drop of a tensor with a key from torch's generator.

Python's steps between a layer and the kernel cost more than dropout of ten thousand elements. So the kernel's module
takes them itself (`usual` in csrc/call.cpp): it asks what `cpu.able` asks, draws the key as `key.as_number` does, makes
the result and calls the kernel, as `cpu.thin` does.

It is taken where p is a number in (0, 1], the tensor is `cpu.able` and contiguous, positions count from 0 in the order
of the shape, and no stream and no rank has a part in the key. There the numbers for the kernel are those of
`call.drop`, so bits, draws and derivatives are the same. Everywhere else nothing is drawn, and the general way is
taken.

The gradient is an autograd function whose two functions are the module's. Nodes of autograd's own (`where` and `mul` on
a mask) take longer: two nodes and a pass over a mask cost 16 us more than one such function at 1,024 floats.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..noise.formulas import LAW, numbers
from ..noise.kernel import module
from . import cpu, key, placed
from .rate import Rate


def usual(x: Tensor, p: Rate, law: str) -> Tensor | None:
    """`call.drop` with a new key where the call is a usual one, else None. Not for traces of torch.compile."""
    found: Tensor | None = cpu.kernel.usual(x, p, law)
    return found


def _alone() -> bool:
    return False


_several = torch.distributed.is_initialized if torch.distributed.is_available() else _alone


@lru_cache(maxsize=1024)
def _constants(law: str, p: float) -> cpu.AnyShape | None:
    """What `call.law_constants` gives for every shape, or None for an unknown law, which `call.drop` refuses."""
    if LAW.fault(law):
        return None
    level, gain, shift, fill = numbers(law, p)
    return int(level), gain, shift, fill, None, 0


FIRST = 12  # the number of the first tool below, as csrc/call.cpp counts them
if module:

    class _UsualCall(torch.autograd.Function):
        """The gradient of a usual call, which the kernel's module computes too; `cpu.linear` where more is asked."""

        forward = staticmethod(module.usual_forward)
        backward = staticmethod(module.usual_backward)

    # `Function.apply` without its checks for torch.func, which the module has made already.
    _record = super(torch.autograd.Function, _UsualCall).apply
    module.set_torch(
        FIRST,
        (torch.is_grad_enabled, placed.source, _several, _constants, key.cell, _record, cpu.linear),
    )
