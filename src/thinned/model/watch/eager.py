"""Compiled code run uncompiled, so that every call of torch is seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from ..._torch import compiler_loaded, set_compiler_stance

_lock = threading.Lock()
_this_thread = threading.local()
_entered = 0  # how often `eager` is entered, in all threads
_ours: Any = None  # the stance that is set while it is


class _Stance:
    """A stance of torch's compiler that is "force_eager" in threads inside of `eager`, and the former one in others."""

    def __init__(self) -> None:
        self.other: Any = SimpleNamespace(stance="default", skip_guard_eval_unsafe=False, backend=None)

    @property
    def stance(self) -> str:
        return "force_eager" if getattr(_this_thread, "depth", 0) else str(self.other.stance)

    @property
    def skip_guard_eval_unsafe(self) -> Any:
        return self.other.skip_guard_eval_unsafe

    @property
    def backend(self) -> Any:
        return None if getattr(_this_thread, "depth", 0) else self.other.backend


@contextmanager
def eager() -> Iterator[None]:
    """A context manager in which compiled models run uncompiled, in this thread alone.

    Where the compiler is not loaded, nothing is compiled, and it is not loaded for this.
    """
    if not compiler_loaded():
        yield
        return
    _enter()
    _this_thread.depth = getattr(_this_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _this_thread.depth -= 1
        _leave()


def _enter() -> None:
    global _entered, _ours
    with _lock:
        if not _entered:
            _ours = _Stance()
            _ours.other = set_compiler_stance()(_ours)
        _entered += 1


def _leave() -> None:
    global _entered, _ours
    with _lock:
        _entered -= 1
        if not _entered:
            now = set_compiler_stance()(_ours.other)
            if now is not _ours:  # somebody has set another one meanwhile
                set_compiler_stance()(now)
            _ours = None
