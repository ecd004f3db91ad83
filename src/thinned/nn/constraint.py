"""Max-norm: a bound on the norm of every unit's incoming weights, applied by a hook after each optimiser step."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..frameworks import refuse_other_frameworks
from .incoming import Incoming, incoming
from .names import Module
from .site import Checked


@dataclass(frozen=True, slots=True)
class _Length:
    """The rule for `c`: a finite number above 0."""

    text: str = "must be a finite number above 0"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return TypeError, "Pass a float."
        if 0.0 < float(value) < math.inf:
            return None
        return ValueError, "It is the longest that a unit's weight vector may be; for no bound, detach the constraint."


class MaxNorm:
    """Bound the norm of every unit's incoming weights: `w <- w * min(1, c / ||w||)` after each optimiser step.

    The vector w of a unit is:

    - of a linear layer, a row of the weight;
    - of a convolution (also grouped or transposed), one filter with all its positions;
    - of a recurrent layer, for each gate, a row of the input weights, and separately a row of the recurrent weights;
    - of an embedding, the row of a word;
    - of a bilinear layer, a slice of the weight;
    - of attention, a row of each projection's weight.

    Biases, parameters of normalisation layers and frozen weights are not changed. A vector within the bound keeps its
    bits.

    The values of c in the paper are for classic scaling. With inverted scaling, as in torch's dropout and thinned's,
    the same network has `c = q * c_classic`: 3 to 4 at p = 0.5 becomes 1.5 to 2 (docs/design/theory.md, "One network in
    two units").

    Arguments:
        model: a module, or several modules.
        c: the largest norm, above 0. It may be assigned later.
        patterns: the modules or weights to constrain, by their names in `model`: "encoder.*", "head",
            "*.weight_hh_l0". Without a pattern, all of them.

    `weights` has the names of the constrained weights. `left_out` has the names of the other parameters with two or
    more axes.

    Raises:
        TypeError: `c` is no number.
        TypeError: `model` is no module.
        ValueError: `c` is not above 0, or not finite.
        ValueError: a pattern matches nothing, or there is no weight to constrain.
        ValueError: a weight is not initialised.
        ValueError: a weight is computed from other parameters by weight_norm, pruning or a parametrization. With
            DropConnect there is no error: the parameter itself is constrained.

    Cost: two passes over the weights at each step, and memory for one number a unit.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, section 5.1.

    >>> layer = torch.nn.Linear(3, 2)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=100.0)
    >>> constraint = MaxNorm(layer, c=2.0)
    >>> handle = constraint.attach(optimizer)
    >>> layer(torch.ones(4, 3)).square().sum().backward()
    >>> optimizer.step()
    >>> constraint.norms()["weight"]
    tensor([2.0000, 2.0000])
    >>> handle.remove()
    """

    c = Checked(_Length())

    def __init__(self, model: Module | Iterable[Module], c: float = 3.0, *patterns: str) -> None:
        refuse_other_frameworks("MaxNorm", model)
        if not isinstance(model, Module | Iterable):
            raise TypeError(
                f"`MaxNorm`: `model` must be a torch.nn.Module, or several. Got {type(model).__name__}. Pass one."
            )
        root = model if isinstance(model, Module) else torch.nn.ModuleList(model)
        self.c = c
        self._weights, self.left_out = incoming(root, patterns)

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of the constrained weights."""
        return tuple(weight.name for weight in self._weights)

    def norms(self) -> dict[str, Tensor]:
        """The norms of the units of each weight, by its name."""
        return {weight.name: weight.by_unit()[1].detach().flatten() for weight in self._weights}

    @torch.no_grad()
    def apply_(self) -> None:
        """Apply the constraint now, to every weight that is not frozen."""
        for weight in self._weights:
            self._shorten(weight)

    def attach(self, optimizer: Optimizer) -> RemovableHandle:
        """Apply the constraint after every step of `optimizer`, to the weights that the optimiser has.

        If torch's GradScaler skips a step, the constraint is not applied. The hook is not in the state, in copies or in
        pickles of the optimiser: attach the constraint to a copy again. In a data-parallel run every rank attaches it,
        and all ranks compute the same.

        Returns:
            A handle; its `remove()` detaches the constraint.

        Raises:
            ValueError: the optimiser has none of the weights.
            TypeError: `optimizer` is no optimiser of torch.
        """
        while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
            optimizer = inner  # in a wrapper of Accelerate or Lightning, the inner optimiser makes the step
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"`MaxNorm.attach`: `optimizer` must be a torch.optim.Optimizer. Got {type(optimizer).__name__}. "
                "For one of another kind, call apply_() after its steps."
            )
        if not any(id(weight.parameter()) in _parameters(optimizer) for weight in self._weights):
            shown = ", ".join(self.weights[:3]) + (", ..." if len(self._weights) > 3 else "")
            raise ValueError(
                f"`MaxNorm.attach`: `optimizer` must have some of the weights. Got {type(optimizer).__name__} with "
                f"none of {shown}. Pass the one that trains this model."
            )
        return optimizer.register_step_post_hook(self._after_step)

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        trained = _parameters(optimizer)
        for weight in self._weights:
            if id(weight.parameter()) in trained:
                self._shorten(weight)

    def _shorten(self, weight: Incoming) -> None:
        """Apply the bound to one weight, unless it is frozen."""
        if weight.parameter().requires_grad:
            vectors, norms = weight.by_unit()
            # The factor is exactly 1 within the bound; also for a vector of zeros, where the quotient is infinite.
            vectors.mul_((self.c / norms).clamp(max=1.0).to(vectors.dtype))

    def __repr__(self) -> str:
        return f"MaxNorm(c={self.c!r}, weights={list(self.weights)})"


def _parameters(optimizer: Optimizer) -> set[int]:
    """The ids of the parameters that an optimiser has."""
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
