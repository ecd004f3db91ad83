"""Which objects have their p at 0 for a while: `disabled` puts it back, so no one else may change it meanwhile."""

from __future__ import annotations

from typing import Any

# One entry for each `disabled` that has not ended: the objects whose p it puts back. Both dictionaries are keyed by
# id, because an object that holds a p need not be hashable.
SWITCHED_OFF: dict[int, dict[int, Any]] = {}


def is_disabled(holder: Any) -> bool:
    """Whether an object is inside a `disabled` that has not ended, which will put its p back."""
    return any(id(holder) in held for held in [*SWITCHED_OFF.values()])
