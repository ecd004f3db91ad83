"""Which module is running, found by torch's global module hooks.

A hook on each module would switch off the fused path of torch's transformer layers, and copies of the model would have
it too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence

from ...nn.names import named_modules
from .generators import python_state
from .unregistered import unregistered

Module = torch.nn.Module


class Running:
    """The stack of modules whose forward is under way, in the thread that entered `followed`.

    With `generators=True`, it also finds the modules in whose own code `random` or `numpy.random` draws. That costs 50
    microseconds a module.
    """

    def __init__(self, model: Module, *, generators: bool = False) -> None:
        self._generators = generators
        self.modules = dict(named_modules(model))
        self._name_modules()
        self._stack: list[tuple[str, Module, PackedSequence | None]] = [("", model, None)]
        self.ran: dict[str, int] = {}  # how often each module's forward has run
        self.loose: dict[str, Module] = {}  # modules that ran and are no submodules of the model, by name
        self.inside: dict[str, str] = {}  # by such a name: the submodule of the model that was running
        self.python_draws: dict[str, int] = {}  # by module: how often `random` or NumPy drew in its code
        self._state: Any = None

    def _name_modules(self) -> None:
        self._names = {id(module): name for name, module in self.modules.items()}
        self._paths: dict[int, str] | None = None  # of unregistered modules; None until one of them runs

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Find the names by `id` again: a copy has other module objects."""
        self.__dict__.update(state)
        self._name_modules()

    @property
    def name(self) -> str:
        """The qualified name of the innermost running module, "" for the model itself."""
        return self._stack[-1][0]

    @property
    def packed(self) -> PackedSequence | None:
        """The packed sequence that the innermost running module was called with, or None."""
        return self._stack[-1][2]

    @contextmanager
    def followed(self) -> Iterator[None]:
        """A context manager in which the running modules are followed."""
        self._thread = threading.get_ident()
        before = register_module_forward_pre_hook(self._enter)
        after = register_module_forward_hook(self._leave, always_call=True)
        self._state = python_state() if self._generators else None
        try:
            yield
            self._look(self.name)
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: Module, args: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._look(self.name)
        name = self._names.get(id(module))
        if name is None:  # held in a plain list or the like; or built in a forward, where it has no path
            name = self._path(module) or f"{self.name}<{type(module).__name__}>"
            self.loose[name] = module
            self.inside[name] = self._registered()
        packed = args[0] if args and isinstance(args[0], PackedSequence) else None
        self._stack.append((name, module, packed))
        self.ran[name] = self.ran.get(name, 0) + 1

    def _registered(self) -> str:
        """The name of the innermost running module that is a submodule of the model."""
        return next((name for _, inner, _ in reversed(self._stack) if (name := self._names.get(id(inner)))), "")

    def _path(self, module: Module) -> str:
        if self._paths is None:
            self._paths = {id(other): name for name, other in unregistered(self.modules[""]).items()}
        return self._paths.get(id(module), "")

    def _leave(self, module: Module, _: Any, __: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._look(self.name)
        while len(self._stack) > 1 and self._stack.pop()[1] is not module:
            pass  # an inner forward that ended by an exception, which the model caught

    def _look(self, name: str) -> None:
        """Count it for this module if `random` or `numpy.random` has drawn since the last look."""
        if not self._generators:
            return
        state = python_state()
        if state != self._state:
            self.python_draws[name] = self.python_draws.get(name, 0) + 1
            self._state = state
