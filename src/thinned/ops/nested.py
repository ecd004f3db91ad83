"""Noise on nested tensors: rows of different lengths have the mask of the padded tensor.

So a row's mask does not depend on how the rows lie in memory: positions count from 0 in each row, as if the rows were
padded to the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def through_padded(input: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`_through_padded`, outside of compiled graphs: the lengths are data."""
    if torch.compiler.is_compiling():
        return torch.compiler.disable(_through_padded)(input, function)  # type: ignore[no-any-return]
    return _through_padded(input, function)


def _through_padded(input: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to the padded tensor, and return the rows of the result as a nested tensor like `input`.

    A jagged result has the offsets of `input`, so that torch can add the two.

    Cost: three passes over memory of the padded size, beside the function's own.
    """
    if not input.numel():
        return input.clone()
    if input.layout is not torch.jagged:
        output = function(torch.nested.to_padded_tensor(input, 0.0))
        rows = zip(output.unbind(), input.unbind(), strict=True)
        return torch.nested.as_nested_tensor([new[tuple(map(slice, old.shape))] for new, old in rows])
    ragged = next(axis for axis, size in enumerate(input.shape) if not isinstance(size, int))
    jagged: Any = input
    values, offsets, given = jagged.values().movedim(ragged - 1, 0), jagged.offsets(), jagged.lengths()
    lengths = offsets.diff() if given is None else given
    batch = torch.repeat_interleave(torch.arange(len(lengths), device=offsets.device), lengths)
    time = torch.arange(len(batch), device=offsets.device) - (lengths.cumsum(0) - lengths)[batch]
    row = offsets[batch] + time
    least, most = int(lengths.min()), int(lengths.max())
    padded = values.new_zeros(len(lengths), most, *values.shape[1:])
    padded = padded.index_put((batch, time), values[row]).movedim(1, ragged)
    kept = function(padded).movedim(ragged, 1)[batch, time]
    # With lengths of its own a jagged tensor has gaps between its rows, which stay as they are.
    new = kept if given is None else values.index_put((row,), kept)
    return torch.nested.nested_tensor_from_jagged(
        new.movedim(0, ragged - 1),
        offsets=offsets,
        lengths=given,
        jagged_dim=ragged,
        min_seqlen=least,
        max_seqlen=most,
    )
