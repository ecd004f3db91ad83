"""Compiled code run uncompiled, so that every call of torch is seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from ..._torch import compiler_loaded
from ...forked import PROCESS, undone


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
    """Who is inside of `eager`: one token for each `with`."""

    def __init__(self) -> None:
        self.alone: dict[object, int] = {}  # for which thread
        self.everywhere: set[object] = set()
        self.setter: Any = None  # what sets the stance, and puts the former one back

    def leave(self, token: object) -> None:
        with PROCESS:
            self.alone.pop(token, None)
            self.everywhere.discard(token)
            self.settle()

    def settle(self) -> None:
        """Set the stance, or put it back, as it is needed."""
        needed = self.alone or self.everywhere
        if needed and self.setter is None:
            setter = torch.compiler.set_stance("default")
            setter.stance = _Stance(setter.prev)
            setter.__enter__()
            self.setter = setter
        elif not needed and self.setter is not None:
            self.setter.__exit__(None, None, None)
            self.setter = None


_INSIDE = _Uncompiled()


def _is_eager() -> bool:
    return bool(_INSIDE.everywhere) or threading.get_ident() in [*_INSIDE.alone.values()]


@contextmanager
def eager(*, everywhere: bool = False) -> Iterator[None]:
    """A context manager in which compiled models run uncompiled, in this thread alone or everywhere.

    Where the compiler is not loaded, nothing is compiled, and it is not loaded for this.
    """
    if not compiler_loaded():
        yield
        return
    token = object()
    with undone(partial(_INSIDE.leave, token)):
        with PROCESS:
            if everywhere:
                _INSIDE.everywhere.add(token)
            else:
                _INSIDE.alone[token] = threading.get_ident()
            _INSIDE.settle()
        yield
