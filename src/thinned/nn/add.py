"""Dropout of a branch and its addition to the residual stream, in one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import Proxy

from ..noise import SCALING
from ..ops import Rate
from .site import Checked, CheckedAxes, Site, own_key, rate, thin
from .symbolic import function_node, module_node


def dropout_add(
    input: Tensor,
    residual: Tensor,
    p: Rate = 0.5,
    training: bool = True,
    *,
    broadcast_dims: Sequence[int] = (),
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`y = residual + dropout(input, p)`, bit for bit, in one pass: the end of a sublayer of a transformer.

    The result of the dropout is not stored. With one draw for each sample, `broadcast_dims=(1, 2)` on `(B, T, C)`, it
    is stochastic depth and the addition.

    Arguments:
        input: the branch's output, floating-point or complex, any shape.
        residual: the tensor that it is added to, of the same shape; or of a shape that broadcasts with it, which takes
            two passes.
        p, training, broadcast_dims, scaling, key, generator: as in `dropout`.

    Raises: as `dropout`.

    Cost: reads two tensors and writes one. The backward pass needs the key and a few numbers; the gradient of
    `residual` is the incoming gradient itself.

    >>> dropout_add(torch.ones(4), torch.full((4,), 10.0), 0.5, key=7)
    tensor([10., 12., 12., 12.])
    """
    if isinstance(input, Proxy) or isinstance(residual, Proxy):
        return function_node(dropout_add, locals())
    return thin(
        "dropout_add",
        input,
        p,
        training,
        False,
        broadcast_dims=broadcast_dims,
        scaling=scaling,
        key=key,
        generator=generator,
        residual=residual,
    )


class DropoutAdd(Site):
    """`DropoutAdd(p)(input, residual)` is `residual + Dropout(p)(input)` in one pass. See `dropout_add`.

    Arguments: `p`; `broadcast_dims`, `scaling` as in `dropout`. All may be assigned later.

    Shape: any; the output has the input's shape. `forward` takes `key=` and `generator=`.

    >>> DropoutAdd(0.5)(torch.ones(4), torch.full((4,), 10.0), key=7)
    tensor([10., 12., 12., 12.])
    """

    broadcast_dims = CheckedAxes()
    scaling = Checked(SCALING)

    def __init__(self, p: float = 0.5, *, broadcast_dims: Sequence[int] = (), scaling: str = "inverted") -> None:
        super().__init__()
        self.p, self.broadcast_dims, self.scaling = p, broadcast_dims, scaling

    def forward(
        self,
        input: Tensor,
        residual: Tensor,
        *,
        key: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        if isinstance(input, Proxy) or isinstance(residual, Proxy):
            return module_node(self, input, residual, key=key, generator=generator)
        return thin(
            type(self).__name__,
            input,
            rate(self),
            self.training,
            False,
            broadcast_dims=self.broadcast_dims,
            scaling=self.scaling,
            key=own_key(self, input, key, generator),
            generator=generator,
            residual=residual,
        )
