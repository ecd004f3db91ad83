"""Compiled code run uncompiled, so that every call of torch is seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..._torch import compiler_loaded

_lock = threading.Lock()
_this_thread = threading.local()
_entered = 0  # how often `eager` is entered, in all threads
_setter: Any = None  # what sets the stance, and puts the former one back


class _Stance:
    """A stance of torch's compiler that is "force_eager" in threads inside of `eager`, and the former one in others."""

    def __init__(self, other: Any) -> None:
        self.other = other

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
    global _entered, _setter
    with _lock:
        if not _entered:
            _setter = torch.compiler.set_stance("default")
            _setter.stance = _Stance(_setter.prev)
            _setter.__enter__()
        _entered += 1


def _leave() -> None:
    global _entered
    with _lock:
        _entered -= 1
        if not _entered:
            _setter.__exit__(None, None, None)
