"""The p of every dropout in a model: `rates` reads it, `set_rates` and `scale_rates` set it."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import torch

from ...frameworks import keras_tools
from ...noise import PROBABILITY, check
from ..known.keras import warn_of_keras
from .assign import assign
from .config import keep_in_step
from .patterns import matching_places
from .rate_places import RatePlaces

Module = torch.nn.Module


def rates(model: Module, *, example: Any = None) -> dict[str, float]:
    """The p of every place in a model, by the place's name.

    A place is a dropout module, under its qualified name, or a call in a module's forward, as `module:function`. The
    names are those of `thinned.inspect`. Where a call reads p from a dropout module, both names stand for one dropout.

    Arguments:
        model: any module, or a Keras model, whose places are its layers.
        example: the arguments of a call of the model: a tensor, a tuple, or a mapping for named ones. With it the model
            runs, and dropout is also found where the source of a forward does not show it.

    Returns: p by name; nan where only a run of the model shows p.

    Cost: without an example, about 0.1 ms for each module that is not torch's own, and no run of the model.

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> rates(net)
    {'1': 0.1}
    """
    if "keras" in sys.modules and (tools := keras_tools(model)) is not None:
        return tools.rates(model, example=example)  # type: ignore[no-any-return]
    rate_places = RatePlaces("rates", model, example)
    warn_of_keras("rates", model)
    return {name: math.nan if place.p is None else place.p for name, place in rate_places.by_name.items()}


def set_rates(model: Module, rates: Mapping[str, float], *, example: Any = None) -> dict[str, float]:
    """Set p at the places that patterns name.

    Where a forward reads p from an attribute, the attribute is set. Where p is a number in the code, hooks around the
    forward give the call another p, until p is set back to the number in the code. The hooks are pickled and copied
    with the module, and are in no `state_dict`. `torch.compile` runs a module with such hooks in eager mode.

    After an error, every p is what it was.

    Arguments:
        model: any module.
        rates: p by pattern, such as `{"encoder.*": 0.2, "*:scaled_dot_product_attention": 0.0}`; `*` matches dots too.
            If several patterns match a place, the last one counts. The texts of a plan that is applied, such as
            "output of fc", are names too.
        example: as in `rates`. The model then also runs after the change, to check that the new p has an effect.

    Returns: the places whose p changed, and their new p.

    A place whose p is 0 gets its new p too. If a pattern wakes such a place beside others that drop already, a
    UserWarning names it: a dropout of 0.3 behind one of 0.3 is one of 0.51. A name instead of a pattern does not warn.

    A model of Hugging Face, and an adapter of PEFT, has the rates in its configuration, which is kept in step: so
    `save_pretrained` keeps them. The first call builds such a model once more, without weights.

    Raises:
        ValueError: p is outside [0, 1].
        ValueError: a pattern matches no place, or with an example only places that never run.
        ValueError: the p of a place can't be set, or `disabled` holds it at 0.
        ValueError: without an example, code can drop in which no source tells of a p: a function without source, a
            lambda in a list, a hook.
        ValueError: the run on the example, after the change, does not show the new p.
        TypeError: `model` is no module, `rates` is no mapping, a pattern is no text, or p is no number.

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
    if "keras" in sys.modules and (tools := keras_tools(model)) is not None:
        return tools.set_rates(model, rates, example=example)  # type: ignore[no-any-return]
    rate_places = RatePlaces("set_rates", model, example)
    warn_of_keras("set_rates", model)
    wanted: dict[str, float] = {}
    woken: set[str] = set()
    for pattern, p in rates.items():
        names = matching_places("set_rates", "rates", pattern, rate_places)
        woken = (woken - {*names}) | (_woken(names, rate_places) if p else set())
        for name in names:
            wanted.pop(name, None)  # the last pattern's is the last
            wanted[name] = float(p)
    asleep = [name for name in wanted if name in woken]
    changed = assign("set_rates", model, rate_places, wanted)
    _configured(rate_places)
    if asleep:
        warnings.warn(
            f"`set_rates`: a pattern has woken {', '.join(map(repr, asleep[:5]))}{', ...' if len(asleep) > 5 else ''}, "
            "whose p was 0 while others drop: two dropouts on one tensor drop more than either. If that is meant, name "
            "them; else set them to 0 again by a later pattern.",
            stacklevel=2,
        )
    return changed


def scale_rates(model: Module, factor: float, pattern: str = "*", *, example: Any = None) -> dict[str, float]:
    """Multiply every p by one factor: one number to tune in a model that has many rates.

    Arguments:
        model, example: as in `set_rates`.
        factor: a finite number, 0 or more.
        pattern: the places to scale; all by default.

    Returns: the places whose p changed, and their new p.

    Raises:
        ValueError: as `set_rates`.
        ValueError: `factor` is negative or not finite, or no number.
        ValueError: a product is above 1.
        ValueError: a place whose p only a run shows (nan in `rates`).
        TypeError: `model` is no module.

    >>> net = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.3))
    >>> scale_rates(net, 0.5)
    {'0': 0.05, '1': 0.15}
    """
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0.0 <= factor < math.inf:
        raise ValueError(
            f"`scale_rates`: `factor` must be a finite number, 0 or more. Got {factor!r}. 1.0 changes nothing."
        )
    if "keras" in sys.modules and (tools := keras_tools(model)) is not None:
        return tools.scale_rates(model, factor, pattern, example=example)  # type: ignore[no-any-return]
    rate_places = RatePlaces("scale_rates", model, example)
    warn_of_keras("scale_rates", model)
    wanted: dict[str, float] = {}
    for name in matching_places("scale_rates", "pattern", pattern, rate_places):
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
    changed = assign("scale_rates", model, rate_places, wanted)
    _configured(rate_places)
    return changed


def _configured(rate_places: RatePlaces) -> None:
    """Keep the configurations in step that the modules of a model have."""
    if any(not {"config", "peft_config"}.isdisjoint(vars(module)) for module in rate_places.registered.values()):
        keep_in_step(rate_places)


def _woken(names: Collection[str], rate_places: RatePlaces) -> set[str]:
    """The places of p = 0 among those of one pattern that also has places with a p above 0.

    A pattern whose places are all at 0 is meant to wake them.
    """
    asleep = {name for name in names if rate_places.by_name[name].p == 0.0}
    return asleep if len(asleep) < len(names) else set()
