"""Which module is running, found by module hooks.

On a user's own model they are torch's global hooks: a hook on each module would switch off the fused path of torch's
transformer layers, and copies of the model would have it too. Other threads see global hooks. So on a copy of ours,
where nothing outside may be seen, each module has a hook.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from ...forked import undone
from ...nn.names import named_modules
from .callsite import ends_here
from .underway import FILE, NAME
from .unregistered import unregistered

Module = torch.nn.Module


class Running:
    """The stack of modules whose forward is under way, in the thread that entered `followed`.

    Arguments:
        own: whether the model is a copy of ours, on which hooks may be put.
        draws: how often `random` or `numpy.random` has drawn in this thread. With it, modules whose own code draws from
            them are found.
        left: called with a module and its output when its forward has ended, while it still is the running one.
    """

    def __init__(
        self,
        model: Module,
        *,
        own: bool = False,
        draws: Callable[[], int] | None = None,
        left: Callable[[Module, Any], None] | None = None,
    ) -> None:
        self._own, self._draws, self._left = own, draws, left
        self.modules = dict(named_modules(model))
        self._name_modules()
        self._stack: list[tuple[str, Module, PackedSequence | None]] = [("", model, None)]
        self.ran: dict[str, int] = {}  # how often each module's forward has run
        self.loose: dict[str, Module] = {}  # modules that ran and are no submodules of the model, by name
        self.inside: dict[str, str] = {}  # by such a name: the submodule of the model that was running
        self.python_draws: dict[str, int] = {}  # by module: how often `random` or NumPy drew in its code
        self._count = 0

    def _name_modules(self) -> None:
        self._names = {id(module): name for name, module in self.modules.items()}
        self._others: dict[int, tuple[str, Module]] | None = None  # unregistered modules with their paths, once found

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Find the names by `id` again: a copy has other module objects."""
        self.__dict__.update(state)
        self._name_modules()

    @property
    def name(self) -> str:
        """The qualified name of the innermost running module, "" for the model itself."""
        return self._innermost()[0]

    @property
    def packed(self) -> PackedSequence | None:
        """The packed sequence that the innermost running module was called with, or None."""
        return self._innermost()[1]

    def _innermost(self) -> tuple[str, PackedSequence | None]:
        name, _, packed = self._stack[-1]
        if not self._own:
            return name, packed
        # Modules that are built in a forward have no hook of ours: their frames lie above those of the others.
        loose, frame = [], sys._getframe(1).f_back
        while frame is not None and not ends_here(frame):
            if frame.f_code.co_name == NAME and frame.f_code.co_filename == FILE:
                found = frame.f_locals
                if id(found["self"]) in self._names or self._path(found["self"]):
                    break
                loose.append((found["self"], found.get("args", ())))
            frame = frame.f_back
        for module, args in reversed(loose):
            name = f"{name}<{type(module).__name__}>"
            packed = _packed(args)
            self.loose[name] = module
            self.inside[name] = self._registered()
            self.ran.setdefault(name, 1)
        return name, packed

    @contextmanager
    def followed(self) -> Iterator[None]:
        """A context manager in which the running modules are followed."""
        self._thread = threading.get_ident()
        handles: list[Any] = []
        with undone(lambda: [handle.remove() for handle in handles]):
            self._hook(handles)
            self._count = 0 if self._draws is None else self._draws()
            yield
            self._look(self._stack[-1][0])

    def _hook(self, handles: list[Any]) -> None:
        """Put hooks on the modules, or torch's global ones."""
        if self._own:
            # Found before our hooks stand among the model's own, and once: a runner enters this for each of its calls.
            for module in (*self.modules.values(), *(other for _, other in self._unregistered().values())):
                handles += [
                    _first(module, "_forward_pre_hooks", self._enter),
                    _first(module, "_forward_hooks", self._leave),
                ]
        else:
            handles.append(register_module_forward_pre_hook(self._enter))
            handles.append(register_module_forward_hook(self._leave, always_call=True))

    def _enter(self, module: Module, args: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._look(self.name)
        name = self._names.get(id(module))
        if name is None:  # held in a plain list or the like; or built in a forward, where it has no path
            name = self._path(module) or f"{self.name}<{type(module).__name__}>"
            self.loose[name] = module
            self.inside[name] = self._registered()
        self._stack.append((name, module, _packed(args)))
        self.ran[name] = self.ran.get(name, 0) + 1

    def _registered(self) -> str:
        """The name of the innermost running module that is a submodule of the model."""
        return next((name for _, inner, _ in reversed(self._stack) if (name := self._names.get(id(inner)))), "")

    def _path(self, module: Module) -> str:
        path, _ = self._unregistered().get(id(module), ("", None))
        return path

    def _unregistered(self) -> dict[int, tuple[str, Module]]:
        if self._others is None:
            self._others = {id(other): (path, other) for path, other in unregistered(self.modules[""]).items()}
        return self._others

    def _leave(self, module: Module, _: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._look(self.name)
        if self._left is not None and output is not None:
            self._left(module, output)
        while len(self._stack) > 1 and self._stack.pop()[1] is not module:
            pass  # an inner forward that ended by an exception, which the model caught

    def _look(self, name: str) -> None:
        """Count it for this module if `random` or `numpy.random` has drawn since the last look."""
        if self._draws is None:
            return
        drawn = self._draws()
        if drawn != self._count:
            self.python_draws[name] = self.python_draws.get(name, 0) + 1
            self._count = drawn


def _packed(args: Any) -> PackedSequence | None:
    return args[0] if args and isinstance(args[0], PackedSequence) else None


def _first(module: Module, table: str, hook: Callable[..., None]) -> RemovableHandle:
    """Put a hook before a module's other ones, to be called after an error too; on TorchScript as well."""
    hooks, always = getattr(module, table), module.__dict__.get("_forward_hooks_always_called", {})
    handle = RemovableHandle(hooks, extra_dict=always)
    hooks[handle.id] = hook
    hooks.move_to_end(handle.id, last=False)
    if table == "_forward_hooks":
        always[handle.id] = True
    return handle
