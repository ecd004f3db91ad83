"""`thinned.disabled`: a model without dropout inside a `with`, whatever mode it is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..rates.assign import Assignment, assign
from ..rates.patterns import matching
from ..rates.rate_places import RatePlace, RatePlaces

Module = torch.nn.Module

# Of each `disabled` that has not ended, what holds the p that it puts back; by id, as those are of every kind.
_switched_off: dict[int, dict[int, Any]] = {}


@contextmanager
def disabled(model: Module, pattern: str = "*", *, example: Any = None) -> Iterator[None]:
    """Inside the `with`, the model has no dropout, whatever mode it is in.

    Every p is 0; modes stay as they are, so that batch normalisation still trains, as RLHF's log-probabilities and the
    evaluation of a training loss want it. A layer with classic scaling multiplies by q as it does at inference.

    Everything is put back at the end, after an exception too; inside another `disabled`, in turn. Rates belong to the
    model: every thread that runs it sees them. `convert` and `revert` refuse what is switched off.

    Arguments: `model`, `example` as in `set_rates`; `pattern`, which places.

    Raises: as `set_rates`, on entry.

    >>> net = torch.nn.Dropout(0.5)
    >>> with disabled(net):
    ...     net(torch.ones(4))
    tensor([1., 1., 1., 1.])
    >>> net.p
    0.5
    """
    rate_places = RatePlaces("disabled", model, example)
    names = matching("disabled", "pattern", pattern, rate_places) if rate_places.by_name or pattern != "*" else []
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
    """Whether a `disabled` that has not ended is going to put the module's p back."""
    return any(id(module) in held for held in [*_switched_off.values()])


def _holders(place: RatePlace) -> tuple[Any, ...]:
    return (place.module,) if place.attribute is None else (place.module, place.attribute.owner)
