"""Dropout for sequences: one mask for all time steps of a sequence ("locked" or "variational" dropout).

With a fresh mask at each step, noise accumulates along the sequence. With a locked mask, one thinned network processes
the whole sequence (Gal and Ghahramani 2016).
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence

from ..noise import PROBABILITY, SCALING
from ..ops import Rate, as_rate, is_zero
from ..ops.input import check_tensor
from .site import Checked, Site, own_key, rate, thin
from .symbolic import function_node, module_node

Sequences = TypeVar("Sequences", Tensor, PackedSequence)


def locked_dropout(
    input: Sequences,
    p: Rate = 0.5,
    training: bool = True,
    batch_first: bool = False,
    *,
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Sequences:
    """Drop units for a whole sequence: one draw for each sample and feature, shared over time.

    `y[t, b, c] = x[t, b, c] * m[b, c] / q`, m ~ Bernoulli(q), in training; `y = x` at inference.

    Arguments:
        input: `(T, B, C)`, `(B, T, C)` with `batch_first`, `(T, C)` without a batch, or a PackedSequence in any order.
            A PackedSequence gets the same masks as its padded tensor.
        p, training, scaling, key, generator: as in `dropout`.
        batch_first: whether the batch is the first axis of a 3-D tensor. It is not used for a PackedSequence.

    Raises:
        ValueError: the tensor is neither 2-D nor 3-D.
        TypeError: as `dropout`.
        ValueError: as `dropout`.

    Source: Gal and Ghahramani 2016; the name is from Merity, Keskar and Socher 2017.

    >>> locked_dropout(torch.ones(3, 1, 4), 0.5, key=7)[:, 0]
    tensor([[0., 2., 2., 2.],
            [0., 2., 2., 2.],
            [0., 2., 2., 2.]])
    """
    if isinstance(input, Proxy):
        return function_node(locked_dropout, locals())
    p = as_rate(PROBABILITY, "locked_dropout", "p", p)
    values = input.data if isinstance(input, PackedSequence) else input
    if is_zero(p) or (scaling == "inverted" and not training):
        thin("locked_dropout", values, p, training, False, scaling=scaling)  # checks, and returns the values
        return input
    if isinstance(input, PackedSequence):
        data = locked_dropout(_padded(input), p, training, scaling=scaling, key=key, generator=generator)
        return input._replace(data=data[_steps(input)])
    check_tensor("locked_dropout", input)
    if input.ndim not in (2, 3):
        raise ValueError(
            f"`locked_dropout`: `input` must be (T, B, C), (B, T, C) or (T, C). Got {tuple(input.shape)}. "
            "For other layouts use dropout with broadcast_dims."
        )
    if input.is_nested and not batch_first:
        raise ValueError(
            "`locked_dropout`: `batch_first` must be True for a nested tensor, whose first axis is the batch. Got "
            f"{batch_first}. Pass batch_first=True."
        )
    batched = input.ndim == 3
    time = 1 if batch_first and batched else 0
    return thin(
        "locked_dropout",
        input,
        p,
        training,
        False,
        broadcast_dims=(time,),
        scaling=scaling,
        key=key,
        generator=generator,
        batch_dim=1 - time if batched else None,
    )


def _padded(packed: PackedSequence) -> Tensor:
    """The data of a packed sequence as `(T, B, C)`, in the original order of the batch, padded with 0."""
    return torch.nn.utils.rnn.pad_packed_sequence(packed)[0]


def _steps(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """The time step and the original batch index of every row of the packed data."""
    sizes = packed.batch_sizes
    cpu = sizes.device  # batch_sizes is on the CPU, whatever torch's default device is
    time = torch.repeat_interleave(torch.arange(len(sizes), device=cpu), sizes)
    row = torch.arange(len(time), device=cpu) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    device = packed.data.device
    batch = row.to(device) if packed.sorted_indices is None else packed.sorted_indices[row.to(device)]
    return time.to(device), batch


class LockedDropout(Site):
    """One dropout mask for all time steps of a sequence. See `locked_dropout` for the formula.

    Arguments: `p`; `batch_first` as in torch's recurrent modules; `scaling` as in `dropout`. All may be assigned later.

    Shape: `(T, B, C)`, `(B, T, C)`, `(T, C)` or a PackedSequence; the output is of the same kind. `forward` takes
    `key=` and `generator=`.

    >>> LockedDropout(0.5, batch_first=True)(torch.ones(1, 2, 4), key=7)
    tensor([[[0., 2., 2., 2.],
             [0., 2., 2., 2.]]])
    """

    scaling = Checked(SCALING)

    def __init__(self, p: float = 0.5, batch_first: bool = False, *, scaling: str = "inverted") -> None:
        super().__init__()
        self.p, self.batch_first, self.scaling = p, batch_first, scaling

    def forward(
        self, input: Sequences, *, key: int | Tensor | None = None, generator: torch.Generator | None = None
    ) -> Sequences:
        if isinstance(input, Proxy):
            return module_node(self, input, key=key, generator=generator)
        key = own_key(self, input, key, generator)
        return locked_dropout(
            input, rate(self), self.training, self.batch_first, scaling=self.scaling, key=key, generator=generator
        )


# The name in Gal and Ghahramani 2016. It is not the variational dropout of Kingma et al. 2015, which learns p.
VariationalDropout = LockedDropout
