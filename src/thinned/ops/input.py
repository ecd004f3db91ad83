"""Which tensors can have noise: floating-point or complex; dense, sparse COO or nested."""

from __future__ import annotations

import torch
from torch import Tensor

_LAYOUTS = {torch.strided, torch.sparse_coo, torch.jagged}


def check_tensor(owner: str, input: object) -> None:
    """Refuse an input that is no tensor, at every p and in every mode.

    Raises:
        TypeError: `input` is no tensor.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"`{owner}`: `input` must be a tensor. Got {type(input).__name__}. Pass torch.as_tensor(...).")


def check_floating(owner: str, input: object) -> None:
    """Refuse an input that can't have noise. An identity needs no such check.

    Raises:
        TypeError: `input` is no tensor, its numbers are integers, booleans or quantised, or its layout is none of
            strided, sparse COO and jagged.
    """
    check_tensor(owner, input)
    assert isinstance(input, Tensor)
    if not (input.is_floating_point() or input.is_complex()):
        step = "input.dequantize()" if input.is_quantized else "input.float()"
        raise TypeError(
            f"`{owner}`: `input` must be floating-point or complex. Got {input.dtype}. Convert it first: {step}."
        )
    if input.layout not in _LAYOUTS:
        step = "input.to_sparse_coo()" if "sparse" in str(input.layout) else "input.to_dense()"
        raise TypeError(
            f"`{owner}`: `input` must be dense, sparse COO or nested. Got layout {input.layout}. "
            f"Convert it first: {step}."
        )
