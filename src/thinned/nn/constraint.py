"""Max-norm: a bound on the length of every unit's incoming weights, kept by a hook behind the optimiser's step."""

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

from .incoming import Incoming, incoming
from .names import Module
from .site import Checked


@dataclass(frozen=True, slots=True)
class _Length:
    text: str = "must be a finite number above 0"

    def fault(self, value: object) -> tuple[type[Exception], str] | None:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return TypeError, "Pass a float."
        if 0.0 < float(value) < math.inf:
            return None
        return ValueError, "It is the longest that a unit's weight vector may be; for no bound, detach the constraint."


class MaxNorm:
    """Bound the norm of every unit's incoming weights: `w <- w * min(1, c / ||w||)` after each optimiser step.

    What is a unit's w: a row of a linear layer's weight; a filter of a convolution, all its taps together (grouped and
    transposed ones too); for each unit of each gate a row of a recurrent layer's input weights, and a row of its
    recurrent ones; a word's row of an embedding; a slice of a bilinear layer's weight; a row of each of attention's
    projections. Biases and the parameters of normalisation layers are left alone, and so are frozen weights. A vector
    within the bound keeps its bits.

    The c of 2014 is in classic units. Where training divides by q, as torch's dropout and ours do, the same network has
    `c = q * c_classic`: 3 to 4 at p = 0.5 is 1.5 to 2 (docs/design/theory.md, "One network in two units").

    Arguments:
        model: a module, or several.
        c: the largest norm, above 0. It may be assigned later.
        patterns: which modules, or weights, by their names in `model`: "encoder.*", "head", "*.weight_hh_l0". Without
            one, all.

    `weights` names what is constrained, `left_out` the other parameters of two and more axes.

    Raises:
        TypeError, ValueError: a bad `c`; a pattern that matches nothing; no weight at all; a weight that is not
            initialised, or that weight_norm, pruning or a parametrization makes from other parameters. DropConnect is
            no such thing: the parameter that it thins is constrained.

    Cost: two passes over the weights a step, and one number a unit.
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
        """By the name of each weight, the norms of its units."""
        return {weight.name: weight.by_unit()[1].detach().flatten() for weight in self._weights}

    @torch.no_grad()
    def apply_(self) -> None:
        """Apply the constraint now, to every weight that is not frozen."""
        for weight in self._weights:
            self._shorten(weight)

    def attach(self, optimizer: Optimizer) -> RemovableHandle:
        """Apply the constraint after every step of `optimizer`, to those weights that are in it.

        A step that torch's GradScaler skips is none. State, copies and pickles of the optimiser have no trace of the
        hook: attach to a copy, too. In a data-parallel run every rank attaches, and does the same.

        Returns:
            A handle; its `remove()` detaches.

        Raises:
            ValueError: the optimiser has none of the weights. TypeError: it is none of torch's.
        """
        while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
            optimizer = inner  # of a wrapper, as Accelerate and Lightning make them: it is this that steps
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
        if weight.parameter().requires_grad:
            vectors, norms = weight.by_unit()
            # Exactly 1 within the bound. The quotient of a vector of zeros is infinite, and so 1 too.
            vectors.mul_((self.c / norms).clamp(max=1.0).to(vectors.dtype))

    def __repr__(self) -> str:
        return f"MaxNorm(c={self.c!r}, weights={list(self.weights)})"


def _parameters(optimizer: Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
