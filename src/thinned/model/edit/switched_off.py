"""What has its p at 0 for a while: several `disabled`, of any threads, may hold the same p, and the last puts it back.

Nothing else may change such a p meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ...forked import PROCESS


class Held(Protocol):
    """What holds a p: a `RateHolder`, or a module's mode."""

    state: Any  # the value to put back

    @property
    def key(self) -> tuple[int, Any]: ...


@dataclass(slots=True)
class _Kept:
    holder: Held
    state: Any
    times: int = 0


_KEPT: dict[tuple[int, Any], _Kept] = {}
SWITCHED_OFF: dict[int, list[Any]] = {}  # by id: an object, once for each `disabled` that holds a p of it


class SwitchedOff:
    """The p that one `disabled` holds. `hold` is called before a p is set to 0, also where it is 0 already."""

    def __init__(self) -> None:
        self._keys: list[tuple[int, Any]] = []
        self._objects: list[int] = []

    def hold(self, holder: Held) -> None:
        with PROCESS:
            kept = _KEPT.setdefault(holder.key, _Kept(holder, holder.state))
            kept.times += 1
            self._keys.append(holder.key)

    def mark(self, owner: Any) -> None:
        """Mark an object that holds a p of this `disabled`, as `is_disabled` tells."""
        with PROCESS:
            SWITCHED_OFF.setdefault(id(owner), []).append(owner)
            self._objects.append(id(owner))

    def release(self) -> None:
        """Put back what no other `disabled` holds."""
        with PROCESS:
            while self._objects:
                owners = SWITCHED_OFF[self._objects[-1]]
                owners.pop()
                if not owners:
                    del SWITCHED_OFF[self._objects[-1]]
                self._objects.pop()
            while self._keys:
                kept = _KEPT[self._keys[-1]]
                kept.times -= 1
                if not kept.times:
                    kept.holder.state = kept.state
                    del _KEPT[self._keys[-1]]
                self._keys.pop()


def is_held(key: tuple[int, Any]) -> bool:
    """Whether a `disabled` holds this p."""
    return key in _KEPT


def is_disabled(holder: Any) -> bool:
    """Whether an object is inside a `disabled` that has not ended, which will put its p back."""
    return id(holder) in SWITCHED_OFF
