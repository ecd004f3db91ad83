"""What an interrupt leaves open is closed at once: KeyboardInterrupt, SystemExit, or the end of a generator.

Hooks open something before a module's forward and close it afterwards, also after an error. But torch runs no hook
after an exception that is no `Exception`. So the module's call is caught as well, by the attribute in which
`module.compile()` puts another way to call it. torch leaves it out of copies and pickles; a handle that is copied with
the module (`freeze`, `set_rates`) puts it on the copy again.

Where another thread takes off hooks of a module that runs, what they have opened is closed at the end of the call.
torch also stops in the midst of the hooks that it runs after an error, where another thread changes the hooks of the
module meanwhile. What is left open is closed then too, and the error is the one for which the hooks were run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch

from ..._torch import makes_no_graph, outer_call
from ...forked import PROCESS
from .underway import FILE, NAME

Module = torch.nn.Module


class Handle(Protocol):
    """What takes off something of ours."""

    def remove(self) -> None: ...


class CaughtCall:
    """The call of a module, with what is to be done if an interrupt ends it."""

    def __init__(self, module: Module, before: Any) -> None:
        self.module, self.before = module, before  # the call that `module.compile()` has put there, or None
        self.undos: list[Callable[[Module], None]] = []
        self.running: dict[int, list[Callable[[Module], None]]] = {}  # for each call what has been taken off meanwhile

    @makes_no_graph
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return (self.before or self.module._call_impl)(*args, **kwargs)
        module = self._called(sys._getframe(1))
        call = self.before if self.before is not None and module is self.module else module._call_impl
        taken_off: list[Callable[[Module], None]] = []
        self.running[id(taken_off)] = taken_off
        whole = False  # whether every hook that the call owes has run
        first: Exception | None = None
        try:
            result = call(*args, **kwargs)
            whole = True
            return result
        except Exception as error:
            first = _before_changed_hooks(error)
            whole = first is None
            if first is None:
                raise
        finally:
            with PROCESS:  # what another thread takes off meanwhile is on one of the two lists
                del self.running[id(taken_off)]
                undos = taken_off if whole else [*taken_off, *self.undos]
            for undo in undos:
                undo(module)
        raise first

    def _called(self, frame: Any) -> Module:
        """The module that is called: of a replica, which has its module's attributes, the replica."""
        found: Module = frame.f_locals["self"] if frame.f_code is outer_call.__code__ else self.module
        return found


def _before_changed_hooks(error: Exception) -> Exception | None:
    """The error after which torch ran hooks, until another thread changed the module's hooks; None for all others."""
    first, last = error.__context__, error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    own = last is not None and last.tb_frame.f_code.co_name == NAME and last.tb_frame.f_code.co_filename == FILE
    changed = type(error) is RuntimeError and own and "mutated during iteration" in str(error)
    return first if changed and isinstance(first, Exception) else None


_CALLS: WeakValueDictionary[int, CaughtCall] = WeakValueDictionary()  # those that are taken off and still run too


def _caught(module: Module) -> CaughtCall:
    """The caught call of a module: the one that it has, one that is still under way in another thread, or a new one."""
    found, known = vars(module).get("_compiled_call_impl"), _CALLS.get(id(module))
    if isinstance(found, CaughtCall):
        return found
    if found is None and known is not None and known.module is module and known.before is None:
        return known
    made = _CALLS[id(module)] = CaughtCall(module, found)
    return made


class OnInterrupt:
    """`undo(module)` is called when an interrupt ends a call of the module, until `remove()`."""

    def __init__(self, module: Module, undo: Callable[[Module], None]) -> None:
        self._module, self._undo = module, undo
        self._call = _caught(module)
        try:
            self._call.undos.append(undo)
            vars(module)["_compiled_call_impl"] = self._call
        except BaseException:
            self.remove()
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return OnInterrupt, (self._module, self._undo)  # in a copy, of the copied module

    def remove(self) -> None:
        with PROCESS:  # another thread may put something there at this moment
            self._remove()

    def _remove(self) -> None:
        if self._undo in self._call.undos:
            self._call.undos.remove(self._undo)
            for taken_off in [*self._call.running.values()]:
                taken_off.append(self._undo)
        own = vars(self._module)
        if not self._call.undos and own.get("_compiled_call_impl") is self._call:
            if self._call.before is None:
                del own["_compiled_call_impl"]
            else:
                own["_compiled_call_impl"] = self._call.before


def is_compiled(module: Module) -> bool:
    """Whether `module.compile()` has put another way to call the module."""
    found = vars(module).get("_compiled_call_impl")
    return found is not None and not (isinstance(found, CaughtCall) and found.before is None)
