"""Products whose rounding depends on their shapes: whatever then fails leans on the rounding of one machine.

A BLAS chooses its way by shape, processor and threads, and each way rounds differently. On the machine at hand two ways
may agree by luck. `pytest --rounding` takes the luck away: below autograd, vmap and every mode, the CPU's kernels for
products, convolutions, recurrent layers and fused attention get a relative error of one unit in the last place (1.2e-7
in float32, 2.2e-16 in float64), a function of the operator's name, of its operands' shapes and of where a number lies
in the result. The same call on the same shapes is rounded alike: two runs of the same calls stay equal bit for bit.

Half precision is left as it is: a unit in the last place is 1 % there, more than any BLAS is off. What runs in a
process of its own is left as it is, too.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

# Each operator, and which of its results are rounded. A last hidden state stays: it is a copy of the last output.
OPERATORS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("mm", "mm.out", "bmm", "bmm.out", "dot", "vdot", "addbmm", "addbmm.out", "addbmm_"), (0,)),
    **dict.fromkeys(("addmm", "addmm.out", "addmm_", "baddbmm", "baddbmm.out", "baddbmm_"), (0,)),
    **dict.fromkeys(("addmv", "addmv.out", "addmv_", "addr", "addr.out", "_addmm_activation"), (0,)),
    **dict.fromkeys(("convolution", "_cdist_forward", "_native_multi_head_attention"), (0,)),
    **dict.fromkeys(("_transformer_encoder_layer_fwd", "_scaled_dot_product_flash_attention_for_cpu"), (0,)),
    "convolution_backward": (0, 1),
    "_scaled_dot_product_flash_attention_for_cpu_backward": (0, 1, 2),
    "mkldnn_rnn_layer": (0, 2),
    "mkldnn_rnn_layer_backward": (0, 1, 2, 5, 6),
}
UNIT = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
# A long row of -1, 0 and 1. A result takes its own part of it: 2^20 is far above the size of the tests' tensors.
SIGNS = np.random.default_rng(0).integers(-1, 2, 1 << 20)
FACTORS = {dtype: torch.from_numpy(1 + unit * SIGNS).to(dtype) for dtype, unit in UNIT.items()}


def rounded(result: Tensor, start: int) -> None:
    """Move a result's numbers by at most one unit, in place. Zeros, infinities and nans stay."""
    if result.dtype not in FACTORS or result.layout is not torch.strided or not result.numel():
        return
    factors = FACTORS[result.dtype]
    if start + result.numel() > len(factors):
        part = factors.repeat(1 + result.numel() // len(factors))[: result.numel()]
    else:
        part = factors[start : start + result.numel()]
    result.mul_(part.view(result.shape))


def kernel(name: str, which: tuple[int, ...]) -> Callable[..., Any]:
    """The CPU's kernel of an operator, its results rounded by the operands' shapes."""
    real = torch.library.get_kernel(f"aten::{name}", "CPU")
    base = name.removesuffix("_").removesuffix(".out")

    def run(keys: Any, *args: Any, **kwargs: Any) -> Any:
        operands = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        start = zlib.crc32(repr((base, [tuple(leaf.shape) for leaf in operands])).encode()) % len(SIGNS)
        result = real.call_boxed(keys, *args, **kwargs)
        # None of the modes that watch the tests' calls sees what is done here.
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            results = result if isinstance(result, (tuple, list)) else (result,)
            for index in which:
                if results[index] is not None:
                    rounded(results[index], start)
        return result

    return run


_on = False


@contextmanager
def on() -> Iterator[None]:
    """The mode, for every thread of this process. Within itself it changes nothing."""
    global _on
    if _on:
        yield
        return
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*other operators may also be overridden", UserWarning)
        for name, which in OPERATORS.items():
            library.impl(name, kernel(name, which), "CPU", with_keyset=True, allow_override=True)
    _on = True
    try:
        yield
    finally:
        _on = False
        library._destroy()
