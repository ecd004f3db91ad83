"""Sets new rates, all or none: refused before any of them is set, or undone if an error comes later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..edit.graph_rate import GraphRate
from ..edit.rate_holder import Assignment, Attribute
from ..edit.switched_off import SWITCHED_OFF, is_disabled
from .rate_places import RatePlace, RatePlaces, look

Module = torch.nn.Module


def assign(
    owner: str, model: Module, rate_places: RatePlaces, wanted: Mapping[str, float], change: Assignment | None = None
) -> dict[str, float]:
    """Set the p of the places in `wanted`: plan all changes, then make them; if one fails, undo all.

    Returns: the places whose p changed, and their new p.
    """
    before = {name: place.p for name, place in rate_places.by_name.items()}
    plan: list[Callable[[Assignment], None]] = []
    groups: dict[Any, list[RatePlace]] = {}
    for place in rate_places.by_name.values():
        if place.attribute is not None:
            groups.setdefault(place.attribute.key, []).append(place)
    planned: set[Any] = set()
    for name in wanted:
        place = rate_places.by_name[name]
        if SWITCHED_OFF and owner != "disabled" and place.p != wanted[name] and _is_held(place):
            raise ValueError(
                f"`{owner}`: {place} must have its own p. Got one that `disabled` holds at 0, and will put back. Leave "
                "the `with` first."
            )
        if place.attribute is None:
            plan.append(_by_calls(owner, place, wanted[name]))
        elif place.attribute.key not in planned:
            planned.add(place.attribute.key)
            plan.append(_by_attribute(owner, place.attribute, groups[place.attribute.key], wanted))
    change = change or Assignment()
    try:
        for step in plan:
            step(change)
        if rate_places.inspection is not None and change.before:
            _verify(owner, model, rate_places, wanted)
    except BaseException:
        change.undo()
        raise
    after = {name: place.p for name, place in rate_places.by_name.items()}
    return {name: p for name, p in after.items() if p is not None and p != before[name]}


def _is_held(place: RatePlace) -> bool:
    """Whether a `disabled` that has not ended will put the p of a place back."""
    return is_disabled(place.module if place.attribute is None else place.attribute.owner)


def _by_calls(owner: str, place: RatePlace, p: float) -> Callable[[Assignment], None]:
    if not place.calls:
        if place.p == p:
            return lambda change: None
        raise ValueError(
            f"`{owner}`: {place} must be within reach. {place.why}"
            if place.why
            else f"`{owner}`: {place} must be within reach. Its p is in the code of a mask made by hand, or in what "
            "the code computes, and no attribute holds it. Have the forward read self.p, use "
            "thinned.nn.functional.dropout, or leave it out of the pattern."
        )

    def step(change: Assignment) -> None:
        for call in place.calls:
            change.assign(call, p)

    return step


def _by_attribute(
    owner: str, attribute: Attribute | GraphRate, members: list[RatePlace], wanted: Mapping[str, float]
) -> Callable[[Assignment], None]:
    """The step that sets an attribute; or that overrides calls, if not all that read it are to have the same p."""
    asked = [place for place in members if place.name in wanted]
    order = [*wanted]
    last = wanted[max(asked, key=lambda place: order.index(place.name)).name]
    values = {wanted.get(place.name, place.p) for place in members}
    if len(values) == 1 or any(
        place.module is attribute.owner and not place.calls and ":" not in place.name for place in members
    ):

        def whole(change: Assignment) -> None:
            change.assign(attribute, last)
            for place in asked:
                for call in place.calls:
                    change.release(call)

        return whole
    masks = [place for place in asked if not place.calls]
    if masks:
        others = [place for place in members if wanted.get(place.name) != last]
        raise ValueError(
            f"`{owner}`: {masks[0]} must have the p of every place that reads {attribute}. Got {last} for it alone. "
            f"Set {', '.join(place.name for place in others)} too."
        )

    def single(change: Assignment) -> None:
        for place in asked:
            for call in place.calls:
                change.assign(call, wanted[place.name])

    return single


def _verify(owner: str, model: Module, rate_places: RatePlaces, wanted: Mapping[str, float]) -> None:
    """Run the example again, and check that calls have the new p and that masks drop by it."""
    for found in look(model, rate_places.example).places:
        p = wanted.get(found.name)
        place = rate_places.by_name.get(found.name)
        if p is None or place is None or not found.train_calls:
            continue
        p = place.p if place.p is not None else p
        if place.calls and found.p is not None and abs(found.p - p) > 2**-16:
            raise ValueError(
                f"`{owner}`: {place} must follow. Got p = {found.p} in a run after {p} was set. Nothing is changed."
            )
        swapped = not place.calls and found.measured is not None and abs(1 - 2 * p) > 0.2
        if swapped and abs(found.measured - p) > abs(found.measured - (1 - p)):  # type: ignore[operator]
            raise ValueError(
                f"`{owner}`: {place} must drop with p. Got {found.measured:.3f} measured after {p} was set: "
                f"{place.attribute} is taken for the probability that a unit is kept. Nothing is changed."
            )
