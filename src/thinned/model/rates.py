"""The p of every dropout in a model: `rates` tells, `set_rates` and `scale_rates` set, `disabled` switches off."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch

from ..noise import PROBABILITY, check
from .assign import Change, assign
from .reach import Located, Reach

Module = torch.nn.Module

# Of each `disabled` that has not ended, what holds the p that it puts back; by id, as those are of every kind.
_switched_off: dict[int, dict[int, Any]] = {}


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
    reach = Reach("rates", model, example)
    return {name: math.nan if place.p is None else place.p for name, place in reach.by_name.items()}


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
    reach = Reach("set_rates", model, example)
    wanted: dict[str, float] = {}
    for pattern, p in rates.items():
        for name in matching("set_rates", "rates", pattern, reach):
            wanted.pop(name, None)  # the last pattern's is the last
            wanted[name] = float(p)
    return assign("set_rates", model, reach, wanted)


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
    reach = Reach("scale_rates", model, example)
    wanted: dict[str, float] = {}
    for name in matching("scale_rates", "pattern", pattern, reach):
        place = reach.by_name[name]
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
    return assign("scale_rates", model, reach, wanted)


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
    reach = Reach("disabled", model, example)
    names = matching("disabled", "pattern", pattern, reach) if reach.by_name or pattern != "*" else []
    classic = [
        module
        for name in names
        if getattr(module := reach.by_name[name].module, "scaling", "") == "classic" and module.training
    ]
    held = {id(owner): owner for name in names for owner in _holders(reach.by_name[name])}
    change = Change()
    try:
        for module in classic:
            module.training = False
        names = [name for name in names if reach.by_name[name].module not in classic]
        assign("disabled", model, reach, dict.fromkeys(names, 0.0), change)
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


def _holders(place: Located) -> tuple[Any, ...]:
    return (place.module,) if place.attribute is None else (place.module, place.attribute.owner)


def matching(owner: str, argument: str, pattern: str, reach: Reach) -> list[str]:
    """The names of the places that a pattern matches; an error if there are none."""
    names = [name for name in reach.by_name if fnmatchcase(name, pattern)]
    if not names:
        hint = "" if reach.example is not None else "Pass `example` to find dropout that no source tells of."
        raise none_such(owner, argument, pattern, reach.by_name, hint)
    if reach.inspection is not None:
        ran = {*reach.inspection.train.ran, *reach.inspection.eval.ran}
        if all(_dead(reach.by_name[name], ran, reach) for name in names) and owner != "disabled":
            raise ValueError(
                f"`{owner}`: `{argument}` must name places that run. Got {pattern!r}: {', '.join(names[:5])} never "
                "ran on the example, and no call reads its p. Setting it would do nothing."
            )
    return names


def none_such(owner: str, argument: str, pattern: str, places: Collection[str], hint: str = "") -> ValueError:
    """The error for a pattern that matches no place, with the nearest that there are."""
    near = difflib.get_close_matches(pattern, places, n=5, cutoff=0.4) or [*places][:5]
    known = f"Places: {', '.join(near)}{', ...' if len(near) < len(places) else ''}." if near else ""
    rest = " ".join(filter(None, (known, hint)))
    return ValueError(
        f"`{owner}`: `{argument}` must name places of the model. Got {pattern!r}, which matches none. {rest}".rstrip()
    )


def _dead(place: Located, ran: set[str], reach: Reach) -> bool:
    """Whether a dropout module has a p that nothing in the run has asked for."""
    if ":" in place.name or place.name in ran or place.attribute is None or "<" in place.name:
        return False
    if place.name.rpartition(".")[0] in ran and place.name.endswith("recurrent_dropout"):
        return False
    key = place.attribute.key
    return not any(
        other is not place and other.attribute is not None and other.attribute.key == key
        for other in reach.by_name.values()
    )
