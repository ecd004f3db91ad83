"""`thinned.disabled`: a context manager in which a model has no dropout, in training mode too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..edit.rate_holder import Assignment
from ..rates.assign import assign
from ..rates.patterns import matching_places
from ..rates.rate_places import RatePlace, RatePlaces

Module = torch.nn.Module

# One entry for each `disabled` that has not ended: the objects whose p it puts back. Both dictionaries are keyed by
# id, because an object that holds a p need not be hashable.
_switched_off: dict[int, dict[int, Any]] = {}


@contextmanager
def disabled(model: Module, pattern: str = "*", *, example: Any = None) -> Iterator[None]:
    """Inside the `with`, the model has no dropout, whatever mode it is in.

    Every p is 0. Modes stay as they are, so batch normalisation still uses the statistics of the batch. Use this where
    a model in training mode must give an output without noise: log-probabilities in RLHF, the value of a training loss.
    A layer with classic scaling multiplies by q, as it does at inference: it alone is in eval mode inside the `with`.

    At the end every p is put back, after an exception too. A `disabled` may be nested in another. p belongs to the
    model, so every thread that runs the model sees p = 0. `convert` and `revert` refuse a layer that is switched off.

    Arguments:
        model, example: as in `set_rates`.
        pattern: the names of the places to switch off; "*" is all of them.

    Raises: as `set_rates`, when the `with` begins.

    >>> net = torch.nn.Dropout(0.5)
    >>> with disabled(net):
    ...     net(torch.ones(4))
    tensor([1., 1., 1., 1.])
    >>> net.p
    0.5
    """
    rate_places = RatePlaces("disabled", model, example)
    names = (
        matching_places("disabled", "pattern", pattern, rate_places) if rate_places.by_name or pattern != "*" else []
    )
    classic = [
        module
        for name in names
        if getattr(module := rate_places.by_name[name].module, "scaling", "") == "classic" and module.training
    ]
    held = {id(owner): owner for name in names for owner in _holders(rate_places.by_name[name])}
    change = Assignment()
    try:
        for module in classic:
            module.training = False
        names = [name for name in names if rate_places.by_name[name].module not in classic]
        assign("disabled", model, rate_places, dict.fromkeys(names, 0.0), change)
        _switched_off[id(held)] = held
        yield
    finally:
        _switched_off.pop(id(held), None)
        change.undo()
        for module in classic:
            module.training = True


def is_disabled(module: Module) -> bool:
    """Whether the module is inside a `disabled` that has not ended, which will put its p back."""
    return any(id(module) in held for held in [*_switched_off.values()])


def _holders(place: RatePlace) -> tuple[Any, ...]:
    """The objects that hold the p of a place: its module, and the owner of the attribute if it is set by one."""
    return (place.module,) if place.attribute is None else (place.module, place.attribute.owner)
