"""Which places a pattern names, and the error for one that names none."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from fnmatch import fnmatchcase

from .rate_places import RatePlace, RatePlaces


def matching(owner: str, argument: str, pattern: str, rate_places: RatePlaces) -> list[str]:
    """The names of the places that a pattern matches; an error if it matches none, or dead ones alone."""
    names = [name for name in rate_places.by_name if fnmatchcase(name, pattern)]
    if not names:
        hint = "" if rate_places.example is not None else "Pass `example` to find dropout that no source tells of."
        raise none_such(owner, argument, pattern, rate_places.by_name, hint)
    if rate_places.inspection is not None:
        ran = {*rate_places.inspection.train.ran, *rate_places.inspection.eval.ran}
        if all(_dead(rate_places.by_name[name], ran, rate_places) for name in names) and owner != "disabled":
            raise ValueError(
                f"`{owner}`: `{argument}` must name places that run. Got {pattern!r}: {', '.join(names[:5])} never "
                "ran on the example, and no call reads its p. Setting it would do nothing."
            )
    return names


def none_such(owner: str, argument: str, pattern: str, places: Collection[str], hint: str = "") -> ValueError:
    """The error for a pattern that matches no place, with the most similar names."""
    near = difflib.get_close_matches(pattern, places, n=5, cutoff=0.4) or [*places][:5]
    known = f"Places: {', '.join(near)}{', ...' if len(near) < len(places) else ''}." if near else ""
    rest = " ".join(filter(None, (known, hint)))
    return ValueError(
        f"`{owner}`: `{argument}` must name places of the model. Got {pattern!r}, which matches none. {rest}".rstrip()
    )


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
