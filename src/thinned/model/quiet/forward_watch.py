"""Watches the forward passes of a model for noise: one mechanism for `eval_guard`, `disabled` and `freeze`.

Hooks on modules keep a stack of the running modules for each thread. While a watch has a module on its stack, a
dispatch mode of torch shows it every random operator, and a function mode every function that drops. All watches of a
thread share the two modes: so it does not matter in which order the watches begin and end.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from ..._torch import TorchDispatchMode, current_dispatch_mode, current_function_mode
from ...nn.names import named_modules
from ...nn.uncopied_hook import UncopiedHook
from ..known.modules import rate_attributes
from ..watch.callsite import transparent
from ..watch.generators import own_state, python_state
from ..watch.underway import left_over
from .drawing import Drawing, drawing_of, in_python
from .model_names import ModelNames
from .noise_left import NoiseLeft

Module = torch.nn.Module


class _Passes(threading.local):
    """The state of one watch in each thread."""

    def __init__(self) -> None:
        self.stack: list[Module] = []  # the running modules; the first is the outermost one that is watched
        self.generators: Any = None
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
        return torch.compiler.is_compiling()

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

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _begin(self, module: Module) -> None:
        passes = self._passes
        if passes.stack and left_over(passes.stack, sys._getframe(1)):
            self._close()  # a KeyboardInterrupt ended the last forward pass without calling the hooks
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
            passes.generators = self._state()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _end(self, module: Module) -> None:
        passes = self._passes
        try:
            self.look()
        finally:
            while passes.stack and passes.stack.pop() is not module:
                pass  # a module whose forward raised, and whose hooks did not run
            if not passes.stack:
                self._close()
        waiting, passes.waiting = passes.waiting, None
        if waiting is not None:
            raise waiting

    def open(self) -> None:
        """Begin to look at a forward pass of this thread."""
        _modes.add(self)

    def _close(self) -> None:
        """Stop watching the current forward pass of this thread."""
        self._passes.stack.clear()
        _modes.discard(self)

    def _state(self) -> Any:
        return python_state(), own_state(self.names().generators)

    def look(self) -> None:
        """Refuse a draw from `random` or `numpy.random`: their state has changed since the last call of this method.

        The draw is attributed to the innermost running module.
        """
        passes = self._passes
        state = self._state()
        if state != passes.generators:
            passes.generators = state
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


# This layer runs its fused kernel only if neither it nor a submodule has a hook. A hook on its parent does no harm.
_FUSED = torch.nn.TransformerEncoderLayer


def hooks_of(model: Module, watch: ForwardWatch) -> list[RemovableHandle]:
    """Register the hooks of a watch on every module of a model that may draw. Copies of the model have none."""
    enter, leave = UncopiedHook(watch.enter), UncopiedHook(watch.leave)
    modules = [*dict(named_modules(model)).values()]
    fused = {
        inner for module in modules if isinstance(module, _FUSED) and module is not model for inner in module.modules()
    }
    watched = [module for module in modules if module is model or not (_is_silent(module) or module in fused)]
    return [handle for module in watched for handle in hook(module, enter, leave)]


def hook(module: Module, enter: Any, leave: Any, *, with_kwargs: bool = False) -> list[RemovableHandle]:
    """Register the two hooks of a watch, also on a module of TorchScript, whose own methods refuse it."""
    return [
        Module.register_forward_pre_hook(module, enter, prepend=True),
        Module.register_forward_hook(module, leave, always_call=True, with_kwargs=with_kwargs),
    ]


def last(module: Module, watch: ForwardWatch) -> None:
    """Let a watch's forward hook run after all hooks of others: noise in a hook is noise of the model."""
    hooks: Any = module._forward_hooks  # an OrderedDict
    for key in [key for key, value in hooks.items() if _watch_of(value) is watch]:
        hooks.move_to_end(key)


def _watch_of(hook: Any) -> Any:
    """The watch that a hook belongs to, or None."""
    return getattr(getattr(hook, "function", None), "__self__", None) or getattr(hook, "watch", None)


# Layers of torch that draw and have no p.
_DRAWS = (torch.nn.RReLU, torch.nn.FractionalMaxPool2d, torch.nn.FractionalMaxPool3d)


def is_quiet(module: Module) -> bool:
    """Whether the own code of a module certainly draws nothing in evaluation: it is a layer of torch or of thinned."""
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return False
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    others = any(not type(hook).__module__.startswith("thinned.") for hook in hooks)
    known = type(module).__module__.startswith(("torch.nn.modules.", "thinned.nn."))
    return known and not others and "forward" not in module.__dict__ and not isinstance(module, _DRAWS)


def _is_silent(module: Module) -> bool:
    """Whether a module certainly draws nothing in any mode: it is quiet, has no children, and is no dropout."""
    return is_quiet(module) and not module._modules and not rate_attributes(module)


class _Modes(threading.local):
    """The two modes of a thread, and the watches that they serve."""

    def __init__(self) -> None:
        self.watches: list[ForwardWatch] = []
        self.dispatch: _WatchedOperators | None = None
        self.function: _WatchedCalls | None = None

    def add(self, watch: ForwardWatch) -> None:
        if watch not in self.watches:
            self.watches.append(watch)
        if watch.changes_calls and self.function is None:
            self.function = _WatchedCalls(self.watches)
            self.function.__enter__()  # type: ignore[no-untyped-call]
        if self.dispatch is None:
            self.dispatch = _WatchedOperators(self.watches)
            self.dispatch.__enter__()  # type: ignore[no-untyped-call]

    def discard(self, watch: ForwardWatch) -> None:
        """Take a watch away, and leave the modes that no other watch needs.

        A mode that is not the innermost one stays without effect: a KeyboardInterrupt has left others above it.
        """
        if watch in self.watches:
            self.watches.remove(watch)
        if self.function is not None and not any(other.changes_calls for other in self.watches):
            function, self.function = self.function, None
            function.watches = []
            if current_function_mode() is function:
                function.__exit__(None, None, None)
        if self.dispatch is not None and not self.watches:
            dispatch, self.dispatch = self.dispatch, None
            dispatch.watches = []
            current: Any = current_dispatch_mode()
            if current is dispatch:
                dispatch.__exit__(None, None, None)


_modes = _Modes()


class _WatchedOperators(TorchDispatchMode):
    """Shows the watches every random operator before it runs."""

    def __init__(self, watches: list[ForwardWatch]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watches = watches

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags or func.namespace == "thinned":
            for watch in [*self.watches]:
                watch.watch(func, args, kwargs)
        return func(*args, **kwargs)


class _WatchedCalls(TorchFunctionMode):
    """Lets the watches change a call of torch."""

    def __init__(self, watches: list[ForwardWatch]) -> None:
        super().__init__()
        self.watches = watches

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for watch in [*self.watches]:
            if watch.changes_calls:
                func, args, kwargs = watch.changed(func, args, kwargs)
        return func(*args, **kwargs)
