"""Compiled code run uncompiled, so that every call of torch is seen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..._torch import compiler_loaded
from ...forked import PROCESS, in_child


class _Stance:
    """A stance of torch's compiler that is "force_eager" in threads inside of `eager`, and the former one in others."""

    def __init__(self, other: Any) -> None:
        self.other = other

    @property
    def stance(self) -> str:
        return "force_eager" if _is_eager() else str(self.other.stance)

    @property
    def skip_guard_eval_unsafe(self) -> Any:
        return self.other.skip_guard_eval_unsafe

    @property
    def backend(self) -> Any:
        return None if _is_eager() else self.other.backend


class _Uncompiled:
    """How often `eager` is entered, by thread: for that thread, and for all."""

    def __init__(self) -> None:
        self.alone: Counter[int] = Counter()
        self.everywhere: Counter[int] = Counter()
        self.setter: Any = None  # what sets the stance, and puts the former one back

    def settle(self) -> None:
        """Set the stance, or put it back, as the counts need it."""
        needed = self.alone.total() or self.everywhere.total()
        if needed and self.setter is None:
            setter = torch.compiler.set_stance("default")
            setter.stance = _Stance(setter.prev)
            setter.__enter__()
            self.setter = setter
        elif not needed and self.setter is not None:
            self.setter.__exit__(None, None, None)
            self.setter = None


_ENTERED = _Uncompiled()


def _is_eager() -> bool:
    return _ENTERED.alone[threading.get_ident()] > 0 or _ENTERED.everywhere.total() > 0


@contextmanager
def eager(*, everywhere: bool = False) -> Iterator[None]:
    """A context manager in which compiled models run uncompiled, in this thread alone or everywhere.

    Where the compiler is not loaded, nothing is compiled, and it is not loaded for this.
    """
    if not compiler_loaded():
        yield
        return
    thread, counts = threading.get_ident(), _ENTERED.everywhere if everywhere else _ENTERED.alone
    entered = False
    try:
        with PROCESS:
            counts[thread] += 1
            entered = True
            _ENTERED.settle()
        yield
    finally:
        with PROCESS:
            counts[thread] -= entered
            _ENTERED.settle()


@in_child
def _own_alone() -> None:
    own = threading.get_ident()
    for counts in (_ENTERED.alone, _ENTERED.everywhere):
        for thread in [*counts]:
            if thread != own:
                del counts[thread]
    _ENTERED.settle()
