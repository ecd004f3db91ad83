"""What `freeze` does while a model runs: noise that a frozen part draws is an error.

The first forward pass of a frozen part is watched operator by operator. Later ones are not, since this would make them
slower: the states of all generators before and after are compared, those of the process and those that the part leads
to. If they differ, the part runs again, watched, to find the line that drew.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

import torch

from ..._torch import innermost_transform
from ..known.modules import rate_attributes
from ..watch.callsite import is_run_by_tool
from ..watch.generators import States, own_state
from ..watch.interrupted import Handle
from ..watch.uncompiled import uncompiled
from ..watch.unregistered import private_generators
from .drawing import Drawing
from .forward_watch import ForwardWatch
from .model_names import ModelNames
from .noise_left import NoiseLeft, drew
from .watch_hooks import hook, is_quiet

Module = torch.nn.Module

ROOT = "_frozen_root"  # the attribute of a frozen module that holds what was given to `freeze`
# With a hook on it, or on a module inside, this layer would not run its fused kernel. In evaluation it draws nothing.
_FUSED = torch.nn.TransformerEncoderLayer


class FrozenWatch(ForwardWatch):
    """The one watch of all frozen parts."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = weakref.WeakSet[Module]()  # parts that have been watched operator by operator
        self._own = weakref.WeakKeyDictionary[Module, list[Any]]()  # the generators of their own to which they lead
        self._before = _Before()

    def passes_by(self, module: Module) -> bool:
        if torch.compiler.is_compiling():  # or exporting, where torch runs no hook after an error
            return True
        if self._passes.stack:
            return False
        # While a CUDA graph is recorded the generators can't be read: its warm-up has been watched.
        recorded = torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
        return recorded or is_run_by_tool(sys._getframe(1))

    def is_traced(self, module: Module) -> bool:
        return torch.compiler.is_compiling()

    def names(self) -> ModelNames:
        names = self._before.names
        if names is None:
            names = self._before.names = ModelNames(vars(self._passes.stack[0])[ROOT])
        return names

    def open(self) -> None:
        # In a transform of torch.func the states of generators can't be compared: each pass is watched there.
        light = self._passes.stack[0] in self._passed and innermost_transform() is None
        self._before.names = None
        self._before.states = self._states() if light else None
        if not light:
            super().open()

    def _states(self) -> tuple[States, tuple[bytes, ...]]:
        return States.now(), own_state(self._own.get(self._passes.stack[0], ()))

    def _same(self, before: tuple[States, tuple[bytes, ...]], module: Module) -> bool:
        """Whether the part that has ended has drawn nothing since then."""
        states, own = before
        return states.same(States.now()) and own == own_state(self._own.get(module, ()))

    @property
    def is_light(self) -> bool:
        """Whether the running part is one that has been watched before, so that the generators tell enough."""
        return self._before.states is not None

    def look(self) -> None:
        if not self.is_light:
            super().look()

    def leave(self, module: Module, args: Any, kwargs: Any, output: Any) -> None:
        """The forward hook."""
        if not self.is_traced(module) and self._passes.stack:
            self._finish(module, args, kwargs, output)

    @uncompiled
    def _finish(self, module: Module, args: Any, kwargs: Any, output: Any) -> None:
        before, light = self._before.states, self.is_light
        self._end(module)
        if self._passes.stack or output is None:  # None after an exception
            return
        if not light:
            self._passed.add(module)
            self._own[module] = private_generators(module)
        elif before is not None and not self._same(before, module):
            self._passed.discard(module)
            module(*args, **kwargs)  # watched, so that it raises; or another thread has drawn meanwhile

    def refuse(self, found: Drawing) -> None:
        """Raise `NoiseLeft`."""
        name = found.where.module
        place = name if rate_attributes(found.owner) or "<" in name else f"{name}:{found.where.function}"
        raise NoiseLeft(
            f"`freeze`: {place!r} must draw no noise in a frozen part. Got {drew(found)}. Have it follow "
            "self.training, or switch it off with thinned.disabled.",
            place,
            found,
        )


class _Before(threading.local):
    states: tuple[States, tuple[bytes, ...]] | None = None
    names: ModelNames | None = None  # of the part that runs


WATCH = FrozenWatch()


class EnterFrozen:
    """The forward pre-hook of a frozen module. It holds no reference, and is copied and pickled with the module."""

    watch = WATCH

    def __call__(self, module: Module, *_: Any) -> None:
        WATCH.enter(module)


class LeaveFrozen:
    """The forward hook of a frozen module."""

    watch = WATCH

    def __call__(self, module: Module, args: Any, kwargs: Any, output: Any) -> None:
        WATCH.leave(module, args, kwargs, output)


def interrupted(module: Module) -> None:
    """What is done when an interrupt ends the call of a frozen module."""
    WATCH.interrupted(module)


def watch_frozen(module: Module, root: Module) -> list[Handle]:
    """Register the hooks on a frozen module, if its own code may draw. `root` is what was given to `freeze`."""
    fused = isinstance(module, _FUSED) and is_quiet(module)
    if fused or (module is not root and is_quiet(module)):
        return []
    vars(module)[ROOT] = root
    handles: list[Handle] = []
    hook(handles, module, EnterFrozen(), LeaveFrozen(), interrupted, with_kwargs=True)
    return handles
