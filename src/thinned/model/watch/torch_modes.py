"""torch's stacks of modes, of this thread: what is entered by us leaves, wherever it lies, and nothing else does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._torch import (
    TorchDispatchMode,
    dispatch_mode_at,
    dispatch_modes,
    function_modes,
    pop_dispatch_mode,
    pop_function_mode,
    push_dispatch_mode,
    push_function_mode,
)
from .uncompiled import uncompiled


def leave_function_mode(mode: Any) -> None:
    """Leave a function mode that may lie below others, which stay. Nothing happens if it is on the stack no more."""
    _leave(mode, function_modes(), pop_function_mode, push_function_mode, pop_function_mode)


def leave_dispatch_mode(mode: Any) -> None:
    """Leave a dispatch mode, as `leave_function_mode`."""
    _leave(mode, dispatch_stack(), pop_dispatch_mode, push_dispatch_mode, lambda: mode.__exit__(None, None, None))


def _leave(mode: Any, stack: list[Any], pop: Any, push: Any, leave: Any) -> None:
    if not any(other is mode for other in stack):
        return
    above = []
    while stack[-1] is not mode:
        above.append(pop())
        stack.pop()
    leave()
    for other in reversed(above):
        push(other)


@contextmanager
def no_mode_left() -> Iterator[None]:
    """A context manager after which this thread has no mode that it did not have before, whatever ends the body."""
    functions, operators = len(function_modes()), dispatch_modes()
    try:
        yield
    finally:
        while len(function_modes()) > functions:
            pop_function_mode()
        while dispatch_modes() > operators:
            dispatch_stack()[-1].__exit__(None, None, None)


def dispatch_stack() -> list[Any]:
    """The dispatch modes of this thread, the innermost last."""
    return [dispatch_mode_at(index) for index in range(dispatch_modes())]


class PlainThreadMode(TorchDispatchMode):
    """A dispatch mode that several threads may enter at once, each one of its own.

    torch notes for the process, and not for the thread, whether a mode is active, and compiles nothing meanwhile. What
    it puts back at the end of this mode is what holds in this thread, whatever others have entered.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "__torch_dispatch__" in vars(cls):
            uncompiled(vars(cls)["__torch_dispatch__"])
        # Past torch's own, which does the same in a way that loads torch's compiler, 1 s.
        super(TorchDispatchMode, cls).__init_subclass__(**kwargs)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Any:
        below = dispatch_stack()
        plain = any(not mode.is_infra_mode() for mode in below)
        known = {"old_dispatch_mode_flags": bool(below), "old_non_infra_dispatch_mode_flags": plain}
        try:
            entered = super().__enter__()  # type: ignore[no-untyped-call]
            for name, flags in vars(self).items():
                if name.startswith("old_") and isinstance(flags, list | deque):  # a newer torch notes more
                    flags[-1] = known.get(name, bool(below))
            return entered
        except BaseException:
            leave_dispatch_mode(self)
            raise


class ThreadMode(PlainThreadMode):
    """A `PlainThreadMode` beside which torch compiles as ever."""

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Whether torch takes this mode for one of its own."""
        return True
