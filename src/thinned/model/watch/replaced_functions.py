"""Functions of modules that are replaced while some thread needs it, and put back after the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...forked import PROCESS, undone

Table = dict[str, Any]
Key = tuple[int, str]  # a table, by id, and a name in it


@dataclass(slots=True)
class _ReplacedName:
    table: Table
    there: bool  # whether the table had the name
    before: Any
    now: Any
    needed: set[int]  # who needs it: the ids of what is held


class Replaced:
    """The names of tables, such as the globals of modules, in whose place other functions stand for a while.

    Arguments:
        stand_in: what stands for a value in a table; None to leave it.
    """

    def __init__(self, stand_in: Callable[[Any], Any]) -> None:
        self._stand_in = stand_in
        self._entries: dict[Key, _ReplacedName] = {}

    @contextmanager
    def inside(self, tables: Iterable[Table], more: Iterable[tuple[Table, str, Any]] = ()) -> Iterator[None]:
        """A context manager in which the names are replaced. `more` are names that a table need not have, with values.

        Threads may overlap. What somebody else puts there meanwhile stays.
        """
        keys: list[Key] = []
        with undone(lambda: self._leave(keys)):
            with PROCESS:
                for table in tables:
                    for name, value in [*table.items()]:
                        known = self._entries.get((id(table), name))
                        now = known.now if known is not None and known.now is value else self._stand_in(value)
                        if now is not None:
                            self._put(keys, table, name, now)
                for table, name, now in more:
                    self._put(keys, table, name, now)
            yield

    def _put(self, keys: list[Key], table: Table, name: str, now: Any) -> None:
        key = id(table), name
        if key not in self._entries:
            self._entries[key] = _ReplacedName(table, name in table, table.get(name), now, set())
        keys.append(key)
        self._entries[key].needed.add(id(keys))
        table[name] = now

    def _leave(self, keys: list[Key]) -> None:
        with PROCESS:
            for key in keys:
                if key in self._entries:
                    self._entries[key].needed.discard(id(keys))
                    self._put_back(key)

    def _put_back(self, key: Key) -> None:
        entry = self._entries[key]
        if entry.needed:
            return
        if entry.table.get(key[1]) is entry.now:  # else it is somebody else's now
            if entry.there:
                entry.table[key[1]] = entry.before
            else:
                del entry.table[key[1]]
        del self._entries[key]
