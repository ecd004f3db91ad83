"""What has its p at 0 for a while: several `disabled`, of any threads, may hold the same p, and the last puts it back.

Nothing else may change such a p meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ...forked import PROCESS


class Holder(Protocol):
    """What holds a p: a `RateHolder`, or a module's mode."""

    state: Any  # the value to put back

    @property
    def key(self) -> tuple[int, Any]: ...


@dataclass(slots=True)
class _HeldRate:
    holder: Holder
    state: Any
    by: set[int]  # the `SwitchedOff`, by id


_HELD: dict[tuple[int, Any], _HeldRate] = {}
SWITCHED_OFF: dict[int, list[Any]] = {}  # by id of a `SwitchedOff`: the objects that hold a p of it


class SwitchedOff:
    """The p that one `disabled` holds. `hold` is called before a p is set to 0, also where another one holds it."""

    def __init__(self) -> None:
        self._keys: list[tuple[int, Any]] = []

    def hold(self, holder: Holder) -> None:
        with PROCESS:
            self._keys.append(holder.key)
            _HELD.setdefault(holder.key, _HeldRate(holder, holder.state, set())).by.add(id(self))

    def mark(self, owners: list[Any]) -> None:
        """Mark the objects that hold a p of this `disabled`, as `is_disabled` tells."""
        SWITCHED_OFF[id(self)] = owners

    def release(self) -> None:
        """Put back what no other `disabled` holds; a second call does what an interrupt of the first has left."""
        with PROCESS:
            SWITCHED_OFF.pop(id(self), None)
            for key in self._keys:
                held = _HELD.get(key)
                if held is None:
                    continue
                held.by.discard(id(self))
                if not held.by:
                    held.holder.state = held.state
                    _HELD.pop(key, None)


def is_held(key: tuple[int, Any]) -> bool:
    """Whether a `disabled` holds this p."""
    return key in _HELD


def is_disabled(holder: Any) -> bool:
    """Whether an object is inside a `disabled` that has not ended, which will put its p back."""
    return any(holder is owner for owners in [*SWITCHED_OFF.values()] for owner in owners)
