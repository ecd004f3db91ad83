"""Which of the places with a p a pattern names, and the error for a pattern whose places never run."""

from __future__ import annotations

import re

from ..inspect.pattern import matching_names, named
from .rate_places import RatePlace, RatePlaces

_PLANNED = re.compile(r"(out|in)put of ")  # the beginning of a plan's text for a dropout that it adds


def _meant(text: str, pattern: str) -> bool:
    """Whether a pattern such as "output of *" means a plan's text. "*" alone means names."""
    return " " in pattern and named(text, pattern)


def matching_places(owner: str, argument: str, pattern: str, rate_places: RatePlaces) -> list[str]:
    """The names of the places that a pattern matches; an error if it matches none, or dead ones alone."""
    hint = "" if rate_places.example is not None else "Pass `example` to find dropout that no source tells of."
    hidden = [
        f"{name!r} ({where})" if where else repr(name)
        for name, where in rate_places.blind.items()
        if named(name, pattern)
    ]
    if hidden and not any(named(name, pattern) for name in rate_places.by_name):
        hint = f"{', '.join(hidden)} can drop. {hint}"
        hidden = []
    is_name = " " not in pattern and any(named(name, pattern) for name in rate_places.by_name)
    names = (
        [] if is_name else [of for text, of in rate_places.aliases.items() if text == pattern or _meant(text, pattern)]
    )
    if not names:
        if _PLANNED.match(pattern):
            hint = "A plan's texts name places once it is applied to the model: thinned.apply(model, plan)."
        names = matching_names(owner, argument, pattern, rate_places.by_name, hint=hint)
    if hidden:
        raise ValueError(
            f"`{owner}`: {', '.join(hidden)} must be within reach. It can drop, and what its p is no source tells. "
            "Pass `example`, so that a run finds it, or leave it out of the pattern."
        )
    if rate_places.inspection is not None:
        ran = {*rate_places.inspection.train.ran, *rate_places.inspection.eval.ran}
        if all(_dead(rate_places.by_name[name], ran, rate_places) for name in names) and owner != "disabled":
            raise ValueError(
                f"`{owner}`: `{argument}` must name places that run. Got {pattern!r}: {', '.join(names[:5])} never "
                "ran on the example, and no call reads its p. Setting it would do nothing."
            )
    return names


def _dead(place: RatePlace, ran: set[str], rate_places: RatePlaces) -> bool:
    """Whether a place is dead: a dropout module that did not run on the example, and whose p no other place reads."""
    if ":" in place.name or place.name in ran or place.attribute is None or "<" in place.name:
        return False
    if place.name.rpartition(".")[0] in ran and place.name.endswith("recurrent_dropout"):
        return False
    key = place.attribute.key
    return not any(
        other is not place and other.attribute is not None and other.attribute.key == key
        for other in rate_places.by_name.values()
    )
