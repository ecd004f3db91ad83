"""torch's stacks of modes, of this thread: what is entered by us leaves, wherever it lies, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._torch import (
    dispatch_mode_at,
    dispatch_modes,
    function_modes,
    pop_dispatch_mode,
    pop_function_mode,
    push_dispatch_mode,
    push_function_mode,
)


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
