"""The p of every dropout in a model: `rates` tells it, `set_rates` and `scale_rates` set it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ...noise import PROBABILITY, check
from .assign import assign
from .patterns import matching
from .rate_places import RatePlaces

Module = torch.nn.Module


def rates(model: Module, *, example: Any = None) -> dict[str, float]:
    """Every place's p, by its name.

    A dropout module has its qualified name, a call in a module's forward `module:function`, as in `thinned.inspect`.
    A call that reads a module's p and that module are one dropout under two names.

    Arguments:
        model: any module.
        example: what the model is called with, a tensor, a tuple or a mapping of arguments: dropout is then also found
            where a forward's source does not tell.

    Returns: p by name; nan where only a run of the code tells what p is.

    Cost: without an example about 0.1 ms a module that is not torch's own; the model does not run.

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> rates(net)
    {'1': 0.1}
    """
    rate_places = RatePlaces("rates", model, example)
    return {name: math.nan if place.p is None else place.p for name, place in rate_places.by_name.items()}


def set_rates(model: Module, rates: Mapping[str, float], *, example: Any = None) -> dict[str, float]:
    """Set p, by the names of places.

    Where a forward reads p from an attribute, the attribute is set. Where p is in the code, the call is given another
    by a hook around the forward, until p is set back to the code's: it is pickled and copied with the module, is in no
    `state_dict`, and makes `torch.compile` leave that module to eager mode.

    Arguments:
        model: any module.
        rates: p by pattern, such as `{"encoder.*": 0.2, "*:scaled_dot_product_attention": 0.0}`; `*` matches dots too.
            Of several patterns that match, the last counts.
        example: as in `rates`. The model is then run again, and must show the new p.

    Returns: the places whose p changed, and their new p.

    Raises:
        ValueError: p outside [0, 1], a pattern that matches no place, a place that can't be reached, or, with an
            example, a p that does nothing. All of it is asked before anything is changed.
        TypeError: `rates` is no mapping, or p no number.

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> set_rates(net, {"*": 0.3})
    {'1': 0.3}
    >>> net
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
      (1): Dropout(p=0.3, inplace=False)
    )
    """
    if not isinstance(rates, Mapping):
        raise TypeError(
            f"`set_rates`: `rates` must be a mapping from patterns to p. Got {type(rates).__name__}. Pass {{'*': 0.1}}."
        )
    for pattern, p in rates.items():
        if not isinstance(pattern, str):
            raise TypeError(f"`set_rates`: a pattern must be text. Got {pattern!r}. Pass '*' for all places.")
        check(PROBABILITY, "set_rates", "p", p)
    rate_places = RatePlaces("set_rates", model, example)
    wanted: dict[str, float] = {}
    for pattern, p in rates.items():
        for name in matching("set_rates", "rates", pattern, rate_places):
            wanted.pop(name, None)  # the last pattern's is the last
            wanted[name] = float(p)
    return assign("set_rates", model, rate_places, wanted)


def scale_rates(model: Module, factor: float, pattern: str = "*", *, example: Any = None) -> dict[str, float]:
    """Multiply every p by one factor: one number to tune for a model that has many.

    Arguments:
        model, example: as in `set_rates`.
        factor: 0 or more.
        pattern: which places.

    Returns: the places whose p changed, and their new p.

    Raises: as `set_rates`; ValueError also for a product above 1.

    >>> net = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.3))
    >>> scale_rates(net, 0.5)
    {'0': 0.05, '1': 0.15}
    """
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0.0 <= factor < math.inf:
        raise ValueError(
            f"`scale_rates`: `factor` must be a finite number, 0 or more. Got {factor!r}. 1.0 changes nothing."
        )
    rate_places = RatePlaces("scale_rates", model, example)
    wanted: dict[str, float] = {}
    for name in matching("scale_rates", "pattern", pattern, rate_places):
        place = rate_places.by_name[name]
        if place.p is None:
            raise ValueError(
                f"`scale_rates`: {place} must have a p. Only a run tells it. Pass `example`, or use set_rates."
            )
        p = place.p * factor
        if p > 1.0:
            raise ValueError(
                f"`scale_rates`: p must stay in [0, 1]. Got {place.p} * {factor} = {p:g} at {place}. "
                "Take a smaller factor, or name the places in `pattern`."
            )
        wanted[name] = p
    return assign("scale_rates", model, rate_places, wanted)
