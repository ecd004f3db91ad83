"""Watches the forward passes of a model for noise: one mechanism for `eval_guard`, `disabled` and `freeze`.

Hooks on modules keep a stack of the running modules for each thread. While a watch has a module on its stack, a
dispatch mode of torch shows it every random operator, and a function mode every function that drops. All watches of a
thread share the two modes: so it does not matter in which order the watches begin and end.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from typing import Any

import torch

from ..watch.generators import own_state, python_state
from ..watch.python_noise import counted, draws_of_all_threads, draws_of_this_thread, tables_of
from ..watch.uncompiled import uncompiled
from ..watch.underway import left_over
from .drawing import Drawing, drawing_of, in_python
from .model_names import ModelNames
from .noise_left import NoiseLeft
from .watch_hooks import last
from .watch_modes import MODES

Module = torch.nn.Module


class _Passes(threading.local):
    """The state of one watch in each thread."""

    def __init__(self) -> None:
        self.stack: list[Module] = []  # the running modules; the first is the outermost one that is watched
        self.generators: Any = None
        self.draws = 0, 0  # of `random` and NumPy, made in this thread and in all, where other threads may draw too
        self.counting: ExitStack | None = None
        self.waiting: NoiseLeft | None = None  # an error of a module of TorchScript that has not returned yet


class ForwardWatch:
    """What happens at each forward pass. A subclass decides which passes it watches, and what noise it refuses."""

    changes_calls = False  # whether `changed` is to be asked

    def __init__(self) -> None:
        self._passes = _Passes()

    # What a subclass decides.

    def passes_by(self, module: Module) -> bool:
        """Whether the forward of a module is not watched. torch.compile must be able to trace this method."""
        raise NotImplementedError

    def is_traced(self, module: Module) -> bool:
        """Whether torch.compile traces the forward of a module, which is not watched then."""
        return torch.compiler.is_dynamo_compiling()

    def names(self) -> ModelNames:
        """The names of the model whose forward is watched."""
        raise NotImplementedError

    def refuse(self, found: Drawing) -> None:
        """Raise an error for noise, unless it may be drawn."""
        raise NotImplementedError

    def changed(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """Another function and other arguments for a call of torch, or the same ones."""
        return func, args, kwargs

    # The hooks.

    def enter(self, module: Module, *_: Any) -> None:
        """The forward pre-hook."""
        if not self.passes_by(module):
            self._begin(module)

    def leave(self, module: Module, *_: Any) -> None:
        """The forward hook. `always_call` makes torch run it after an exception, too."""
        if not self.is_traced(module) and self._passes.stack:
            self._end(module)

    @uncompiled
    def _begin(self, module: Module) -> None:
        passes = self._passes
        if passes.stack and left_over(passes.stack, sys._getframe(1)):
            self.close()  # a KeyboardInterrupt ended the last forward pass without calling the hooks
            if self.passes_by(module):
                return
        last(module, self)
        if passes.stack:
            self.look()
        else:
            passes.generators = None
        passes.stack.append(module)
        if len(passes.stack) == 1:
            self.open()
            passes.generators, passes.draws = self._state(), _draws()

    @uncompiled
    def _end(self, module: Module) -> None:
        passes = self._passes
        waiting, passes.waiting = passes.waiting, None
        try:
            self.look()
        finally:
            while passes.stack and passes.stack.pop() is not module:
                pass  # a module whose forward raised, and whose hooks did not run
            if not passes.stack:
                self.close()
        if waiting is not None:
            raise waiting

    def interrupted(self, module: Module) -> None:
        """Close what the hooks have opened for a module whose call was ended by an interrupt."""
        passes = self._passes
        at = max((number for number, other in enumerate(passes.stack) if other is module), default=None)
        if at is not None:
            del passes.stack[at:]
        if not passes.stack:
            self.close()  # also where the interrupt came while it was closed

    def abandon(self) -> None:
        """Close what is still open in this thread, where the watch ends."""
        if self._passes.stack:
            self.close()

    def open(self) -> None:
        """Begin to look at a forward pass of this thread."""
        MODES.add(self)
        if threading.active_count() > 1:
            self._passes.counting = ExitStack()
            self._passes.counting.enter_context(counted(tables_of(self.names().model)))

    def close(self) -> None:
        """Stop watching the current forward pass of this thread."""
        self._passes.stack.clear()
        self._passes.waiting = None
        MODES.discard(self)
        counting, self._passes.counting = self._passes.counting, None
        if counting is not None:
            counting.close()

    def _state(self) -> Any:
        return python_state(), own_state(self.names().generators)

    def look(self) -> None:
        """Refuse a draw from `random` or `numpy.random`: their state has changed since the last call of this method.

        Where there are other threads, this one must have drawn. A method of NumPy's own generator counts for no thread:
        it is the model's if the model leads to this generator, and nobody has been counted. The draw is attributed to
        the innermost running module.
        """
        passes = self._passes
        before, (own, everywhere) = passes.generators, passes.draws
        passes.generators, passes.draws = state, draws = self._state(), _draws()
        if state != before:
            others = passes.counting is not None and draws[0] == own and state[1] == before[1]
            if others and (draws[1] != everywhere or not self.names().has_the_process_s):
                return  # another thread has drawn
            place = self.names().place(passes.stack[::-1])
            if place is not None:
                self.refuse(in_python(place[1], place[0]))

    def watch(self, func: Any, args: Any, kwargs: Any) -> None:
        """Refuse the noise of an operator that is about to run. Called by the dispatch mode."""
        found = drawing_of(func, args, kwargs, self.names)
        if found is None:
            return
        try:
            self.refuse(found)
        except NoiseLeft as error:
            # The interpreter of TorchScript would make another error of it. So it is raised when the module returns.
            if not isinstance(found.owner, torch.jit.ScriptModule):
                raise
            self._passes.waiting = self._passes.waiting or error


def _draws() -> tuple[int, int]:
    return draws_of_this_thread(), draws_of_all_threads()
