"""The two modes of torch that show the watches of a thread what the running model calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode

from ..._torch import function_modes, pop_function_mode
from ..known.functions import TORCHS, told_to_drop
from ..watch.callsite import transparent
from ..watch.draws import named_arguments
from ..watch.foreign import ran
from ..watch.torch_modes import PlainThreadMode, leave_dispatch_mode, leave_function_mode


class Watching(Protocol):
    """What the modes ask of a watch: a `ForwardWatch`."""

    changes_calls: bool

    def watch(self, func: Any, args: Any, kwargs: Any) -> None: ...
    def changed(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any, Any]: ...


class _Modes(threading.local):
    """The two modes of a thread, and the watches that they serve."""

    def __init__(self) -> None:
        self.watches: list[Watching] = []
        self.dispatch: _WatchedOperators | None = None
        self.function: _WatchedCalls | None = None

    def add(self, watch: Watching) -> None:
        if watch not in self.watches:
            self.watches.append(watch)
        if watch.changes_calls and self.function is None:
            self.function = _WatchedCalls(self.watches)
            self.function.__enter__()  # type: ignore[no-untyped-call]
        if self.dispatch is None:
            self.dispatch = _WatchedOperators(self.watches)
            self.dispatch.__enter__()

    @contextmanager
    def none_left(self) -> Iterator[None]:
        """A context manager after which no function mode of its body is left, if an error has mixed them up.

        In an export torch runs no hook after an error. Our mode is then still the innermost one, and torch's own, which
        takes off the innermost at its end, takes off ours in place of itself.
        """
        before = len(function_modes())
        try:
            yield
        finally:
            if self.function is not None and self.function not in function_modes():
                while len(function_modes()) > before:
                    pop_function_mode()

    def discard(self, watch: Watching) -> None:
        """Take a watch away, and leave the modes that no other watch needs."""
        if watch in self.watches:
            self.watches.remove(watch)
        if self.function is not None and not any(other.changes_calls for other in self.watches):
            leave_function_mode(self.function)
            self.function = None
        if self.dispatch is not None and not self.watches:
            leave_dispatch_mode(self.dispatch)
            self.dispatch = None


MODES = _Modes()


class _WatchedOperators(PlainThreadMode):
    """Shows the watches every random operator before it runs."""

    def __init__(self, watches: list[Watching]) -> None:
        super().__init__()
        self.watches = watches

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace not in TORCHS:
            return self._foreign(func, args, kwargs)
        if torch.Tag.nondeterministic_seeded in func.tags or func.namespace == "thinned":
            for watch in [*self.watches]:
                watch.watch(func, args, kwargs)
        return func(*args, **kwargs)

    def _foreign(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator of another library, whose noise only its arguments and the generators tell of."""
        said = told_to_drop(named_arguments(func, args, kwargs))
        result, drew = (None, True) if said else ran(func, args, kwargs)
        if drew:
            for watch in [*self.watches]:
                watch.watch(func, args, kwargs)
        return func(*args, **kwargs) if said else result


class _WatchedCalls(TorchFunctionMode):
    """Lets the watches change a call of torch."""

    def __init__(self, watches: list[Watching]) -> None:
        super().__init__()
        self.watches = watches

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for watch in [*self.watches]:
            if watch.changes_calls:
                func, args, kwargs = watch.changed(func, args, kwargs)
        return func(*args, **kwargs)
