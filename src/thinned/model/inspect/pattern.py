"""A pattern of names, such as "encoder.*": which names it matches, and the error for a pattern that matches none."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from fnmatch import fnmatchcase

MODEL_PLACES = "places of the model"


def named(name: str, pattern: str) -> bool:
    """Whether a pattern matches a name: as the shell's patterns do, or with square brackets that mean themselves.

    >>> named("drops[0]", "drops[0]"), named("drops[0]", "drops[*]"), named("blocks.2", "blocks.[12]")
    (True, True, True)
    """
    return fnmatchcase(name, pattern) or ("[" in pattern and fnmatchcase(name, pattern.replace("[", "[[]")))


def matching_names(
    owner: str, argument: str, pattern: str, names: Collection[str], *, kind: str = MODEL_PLACES, hint: str = ""
) -> list[str]:
    """The names that a pattern matches; `*` matches dots too.

    Arguments:
        owner, argument: what was called and the argument that has the pattern, for the error.
        names: all names that there are.
        kind: what the names are names of, for the error.
        hint: the last sentence of the error: where other names come from.

    Raises:
        ValueError: the pattern matches none.
    """
    found = [name for name in names if named(name, pattern)]
    if not found:
        raise matches_none(owner, argument, pattern, names, kind=kind, hint=hint)
    return found


def matches_none(
    owner: str, argument: str, pattern: str, names: Collection[str], *, kind: str = MODEL_PLACES, hint: str = ""
) -> ValueError:
    """The error for a pattern that matches no name, with the most similar names."""
    near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.4) or [*names][:5]
    more = f" and {len(names) - len(near)} more" if len(near) < len(names) else ""
    known = f"{', '.join(near) or 'none'}{more}"
    message = f"`{owner}`: `{argument}` must name {kind}. Got {pattern!r}, which matches none. Places: {known}. {hint}"
    return ValueError(message.rstrip())
