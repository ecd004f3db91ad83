"""What a fork of the process finds: locks that it can take, and nothing begun by threads that it does not have.

A fork copies the memory of all threads and goes on with one of them. A lock that another thread holds would stay taken
in the child for ever, and what that thread has begun is never ended there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from weakref import WeakMethod, WeakSet

# For every change of what belongs to the process. It is held for moments: a fork waits for it, so that the child finds
# each change made or not begun.
PROCESS = threading.RLock()

_in_child: list[Callable[[], None]] = []
_begun: dict[object, tuple[int, Callable[[], object]]] = {}  # what is to be undone, and the thread that will do so
_long: WeakSet[LongLock] = WeakSet()


def in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Mark a function: a child that was forked calls it, to undo what threads have begun that it does not have."""
    _in_child.append(function)
    return function


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """A context manager that calls a function at its end, and at once in a forked child that lacks this thread.

    It is called again where an interrupt has ended it, so it does nothing that is done.
    """
    token = object()
    try:
        _begun[token] = threading.get_ident(), undo
        yield
    finally:
        try:
            _end(token)
        finally:
            _end(token)  # what an interrupt has left


def _end(token: object) -> None:
    if token in _begun:
        _begun[token][1]()
        _begun.pop(token, None)


class LongLock:
    """A lock that a thread may hold for long and take again; in a forked child it is free if another thread held it.

    Arguments:
        reset: called in such a child, as what the lock protects may be half done. A method of the lock's owner.
    """

    def __init__(self, reset: Callable[[], None] | None = None) -> None:
        self._reset = None if reset is None else WeakMethod(reset)
        self._lock = threading.RLock()
        self._thread = 0
        self._depth = 0
        _long.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._thread, self._depth = threading.get_ident(), self._depth + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        self._lock.release()

    def renew(self) -> None:
        """In a forked child: be free, unless the thread that has forked holds it."""
        if self._depth and self._thread == threading.get_ident():
            return
        held, self._lock, self._depth = self._depth, threading.RLock(), 0
        reset: Any = None if self._reset is None else self._reset()
        if held and reset is not None:
            reset()


def _child() -> None:
    PROCESS.release()
    for lock in [*_long]:
        lock.renew()
    own = threading.get_ident()
    for token, (thread, _) in [*_begun.items()][::-1]:
        if thread != own:
            _end(token)
    for function in _in_child:
        function()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=PROCESS.acquire, after_in_parent=PROCESS.release, after_in_child=_child)
