"""Which calls of a model are to draw noise, and with which p."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch

from ..model.edit.rate_holder import Assignment, Attribute
from ..model.inspect.inspection import Inspection
from ..model.inspect.pattern import matching_names
from ..model.inspect.place import LAYER_DROP, Place
from ..model.known.functions import DRAWS
from ..model.known.modules import rate_attributes
from ..model.known.where import Where
from ..model.watch.trace import Trace
from ..nn.names import named_modules
from ..noise import PROBABILITY, check

Rates = float | Mapping[str, float] | None


class Live(NamedTuple):
    """The places that are to draw noise, and how to make them draw it in evaluation mode.

    For `F.dropout(x, 0.1, self.training)` in a module `net`, `calls` is `{Where("net", "dropout", file, line): None}`
    and all sets are empty: `Sampler` makes this call drop, whatever its training flag.
    """

    places: tuple[Place, ...]
    calls: dict[Where, float | None]  # the p of each call; None for the p in the call itself; 0 to switch it off
    told: set[Where]  # of `calls`, those that drop only where their own training flag is true
    flipped: set[str]  # modules that must be in training mode for their noise to be drawn
    trial: set[str]  # modules that run children only in training mode; flipped if the answer keeps its form
    aside: set[str]  # the places in these children

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(place.name for place in self.places)


def find(inspection: Inspection, sites: str | Sequence[str] | None, p: Rates) -> Live:
    """Decide which calls are to draw noise, and with which p.

    Raises:
        ValueError: nothing is random.
        ValueError: a pattern matches no place.
        ValueError: a place can't take the p given for it.
        ValueError: the noise of a place can't be left out.
    """
    patterns = [sites] if isinstance(sites, str) else sites
    names = [place.name for place in inspection.places]
    if patterns is not None:
        wanted = {name for pattern in patterns for name in matching_names("predict", "sites", pattern, names)}
    else:
        wanted = {*names}
    rates = {place.name: rate_for(place, p) for place in inspection.places if place.name in wanted}
    for pattern in p if isinstance(p, Mapping) else ():
        matching_names("predict", "p", pattern, rates, kind="places that draw")
    calls: dict[Where, float | None] = {}
    told: set[Where] = set()
    flipped: set[str] = set()
    drawing = []
    trial: set[str] = set()
    aside: set[str] = set()
    for place in inspection.places:
        in_training, in_evaluation = _calls(inspection, place)
        override = rates.get(place.name)
        rate = place.p if override is None else override
        if place.name not in rates or rate == 0.0:
            calls.update(_silenced(place, in_evaluation))
            continue
        if not place.train_calls and (override is None or not in_training | in_evaluation):
            continue
        if "." in place.kind:
            raise NotImplementedError(
                f"`predict`: noise inside of the operator `{place.kind}` can't be drawn by key. Got {place.name!r}, "
                f"called at {place.file}:{place.line}. Leave it out by sites=..., or call torch's own attention."
            )
        drawing.append(place)
        if place.module and place.module not in inspection.eval.ran:
            aside.add(place.name)
            trial.add(_caller(place.module, inspection))
        by_hand = place.kind == "random" or any(where.function in DRAWS for where in in_training)
        for where in in_training | in_evaluation:
            training, evaluation = (_said(traces, where) for traces in (inspection.passes, (inspection.eval,)))
            rates_there = {p for p, _ in training}
            itself = override is None and (place.p is None or rates_there == {p for p, _ in evaluation})
            calls[where] = None if by_hand or itself else rate
            some = len({trains for _, trains in training}) > 1
            if not by_hand and (some or (override is None and not itself and len(rates_there) > 1)):
                calls[where] = override
                told.add(where)  # only in training mode do the calls show which of them drop, and by which p
        if not in_training <= in_evaluation or by_hand or told & in_training:
            flipped.add(place.module)
    for place in inspection.places:
        if place.kind == "random" and place.name not in rates and place.module in flipped:
            raise ValueError(
                f"`predict`: {place.name!r} can't be left out, since other noise of its module is drawn. Got sites="
                f"{sites!r}. Name it too, or leave all of {place.module!r} out."
            )
    if not drawing:
        unseen = "; ".join(inspection.unseen)
        raise ValueError(
            f"`predict`: `model` must have noise to sample. Got {inspection.model}, in which nothing is random"
            + (f" at the places {', '.join(names)}" if names else "")
            + (f", but for Keras's dropout in {unseen}, which no mode switches on" if unseen else "")
            + ". Pass p=0.1 to set rates for the call, thinned.apply(model, thinned.plan(model, x)) to put dropout in, "
            "and train with it."
        )
    return Live(tuple(drawing), calls, told, flipped, trial - flipped, aside)


def _caller(module: str, inspection: Inspection) -> str:
    """The module itself or its nearest ancestor, whichever first runs in evaluation."""
    while module and module not in inspection.eval.ran:
        module = module.rpartition(".")[0]
    return module


def _silenced(place: Place, in_evaluation: set[Where]) -> dict[Where, float]:
    """The calls to switch off at a place that is not to draw: those that draw in evaluation mode too."""
    if not place.eval_calls or place.kind == LAYER_DROP:  # LayerDrop uses its number only in training
        return {}
    if place.kind == "random" or any(where.function in DRAWS for where in in_evaluation):
        raise ValueError(
            f"`predict`: noise made by hand that draws in evaluation mode too can't be left out. Got {place.name!r}, "
            f"called at {place.file}:{place.line}. Name it in `sites`, or make it ask self.training."
        )
    return dict.fromkeys(in_evaluation, 0.0)


@contextmanager
def overridden(model: torch.nn.Module, p: Rates) -> Iterator[None]:
    """A context manager in which dropout modules have the rates in `p`, and after which they have their own again."""
    assignment = Assignment()
    try:
        for name, module in named_modules(model) if p is not None else ():
            for own in rate_attributes(module):
                rate = _given(f"{name}.{own}" if own == "recurrent_dropout" else name, p)
                if rate is not None:
                    assignment.assign(Attribute(module, own), rate)
        yield
    finally:
        assignment.undo()


def _given(name: str, p: Rates) -> float | None:
    """The rate that `p` gives the place of this name, or None; if several patterns match, the last one counts."""
    rate: Any = p
    if isinstance(p, Mapping):
        rate = None
        for pattern, value in p.items():
            if fnmatchcase(name, pattern):
                rate = value
    return None if rate is None else float(check(PROBABILITY, "predict", "p", rate))


def rate_for(place: Place, p: Rates) -> float | None:
    """The rate that the argument `p` gives a place, or None where it gives none."""
    rate = _given(place.name, p)
    if rate is None:
        return None
    if place.kind in DRAWS or place.kind in ("LayerDrop", "random"):
        raise ValueError(
            f"`predict`: `p` can't be given for noise made by hand. Got {rate} for {place.name!r}, called at "
            f"{place.file}:{place.line}. Name other places: p={{pattern: p}}."
        )
    return rate


def _calls(inspection: Inspection, place: Place) -> tuple[set[Where], set[Where]]:
    """The `Where` of each of a place's calls in training mode, and in evaluation mode."""
    found: list[set[Where]] = []
    for traces in (inspection.passes, (inspection.eval,)):
        made = (call for trace in traces for call in trace.of(place.module))
        found.append(
            {call.where for call in made if (call.draws or call.training is not None) and _belongs(call, place)}
        )
    return found[0], found[1]


def _said(traces: Sequence[Trace], where: Where) -> set[tuple[float | None, bool | None]]:
    """The p and the training flag of each call at a `Where`."""
    return {
        (call.p, call.training)
        for trace in traces
        for call in trace.of(where.module)
        if call.where == where and (call.draws or call.training is not None)
    }


def _belongs(call: Any, place: Place) -> bool:
    by_call = ":" in place.name
    same = call.function == place.kind or (place.kind == LAYER_DROP and call.function in DRAWS)
    return not by_call or (same and (call.file, call.line) == (place.file, place.line))
