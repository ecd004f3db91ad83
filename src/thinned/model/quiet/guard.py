"""`thinned.eval_guard`: noise that a model draws in evaluation raises an error that names the place."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from ..._torch import TorchDispatchMode, current_dispatch_mode
from ...nn.names import named_modules
from ...nn.uncopied_hook import UncopiedHook
from ..inspect.pattern import matches_none
from ..known.modules import rate_attributes
from ..known.where import Where
from ..rates.rate_places import RatePlaces
from ..watch.generators import python_state
from ..watch.underway import left_over
from ..watch.untouched import check_module
from .drawing import Drawing, drawing_of, in_python

Module = torch.nn.Module

# This layer runs its fused kernel only if neither it nor a submodule has a hook. A hook on its parent does no harm.
_FUSED = torch.nn.TransformerEncoderLayer


class NoiseInEval(RuntimeError):  # noqa: N818  a name that says what happened
    """A model drew noise in eval mode or inference mode, where `eval_guard` forbids it.

    `place` is the name of the place as in `thinned.inspect`. `module`, `function`, `file`, `line` and `p` describe the
    call that drew.
    """

    def __init__(self, message: str, place: str, found: Drawing) -> None:
        super().__init__(message)
        self.place = place
        self.module, self.function, self.file, self.line = found.where
        self.p = found.p


def eval_guard(model: Module, allow: Iterable[str] = ()) -> Guard:
    """Raise `NoiseInEval` at the first noise drawn by a module in eval mode, or by any module in inference mode.

    The guard sees every random operator of torch that runs in the forward pass, in dropout of any kind and in masks
    made by hand; the noise of `thinned.nn`; and draws from `random` and `numpy.random`, which it reports at the latest
    when the module that drew returns. It does not look at code outside of a forward pass, such as initialisation,
    augmentation or sampling from the output.

    Arguments:
        model: any module. A submodule that is called alone is guarded too.
        allow: patterns of the names of places that may draw, such as `("mc.*",)` for Monte-Carlo dropout. A submodule
            in training mode may draw without being named, except in inference mode. Noise other than dropout has a
            name such as `"encoder:randn_like"`, which is known only when it runs: a pattern may name any function in
            a module that exists.

    Returns:
        The guard. It stays until its `remove()` is called, or until the end of a `with`.

    Raises:
        NoiseInEval: a RuntimeError, raised in the forward pass. An operator of torch or thinned has not drawn its noise
            then; only a key of thinned's may have been drawn.
        ValueError: a pattern can match no place of the model.
        TypeError: `model` is no module.
        TypeError: a pattern is no text.

    Every thread is guarded separately. Copies and pickles of the model are not guarded. Fused kernels stay in use:
    therefore torch's `TransformerEncoderLayer` has no hook of its own, and is guarded only while its parent runs. A
    graph that was compiled in training mode contains no guard. A guarded module in eval mode runs uncompiled.

    Cost: docs/guides/rates.md has the measurements.

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> guard = eval_guard(net)
    >>> out = net.train()(torch.ones(1, 4)), net.eval()(torch.ones(1, 4))
    >>> net[1].forward = lambda x: torch.nn.functional.dropout(x, 0.1)
    >>> net(torch.ones(1, 4))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    thinned.model.quiet.guard.NoiseInEval: `eval_guard`: '1' must draw no noise in eval mode. Got dropout with p = ...
    >>> guard.remove()
    """
    check_module("eval_guard", model)
    patterns = (allow,) if isinstance(allow, str) else tuple(allow)
    _check_patterns(model, patterns)
    return Guard(model, patterns)


class Guard:
    """Watches the forward passes of a model by hooks, until `remove()` or the end of a `with`.

    The hooks keep a stack of the running modules for each thread. While the stack is not empty, a dispatch mode of
    torch is active and looks at every operator.
    """

    def __init__(self, model: Module, allow: tuple[str, ...]) -> None:
        self.allow = allow
        self._model = model
        self._names = {module: name for name, module in named_modules(model)}
        self._local = _Local()
        self._known: dict[Where, str] = {}
        self._handles: list[RemovableHandle] = []
        enter, leave = UncopiedHook(self._enter), UncopiedHook(self._leave)
        fused = {
            inner
            for module in self._names
            if isinstance(module, _FUSED) and module is not model
            for inner in module.modules()
        }
        for module in self._names:
            if not _quiet(module) and module not in fused:
                self._handles.append(module.register_forward_pre_hook(enter))
                self._handles.append(module.register_forward_hook(leave, always_call=True))

    def remove(self) -> None:
        """Remove the hooks: the model is no longer watched."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _enter(self, module: Module, *_: Any) -> None:
        # torch.compile makes one graph for each value of `training`, but none for inference mode: so a module in
        # training mode is never watched while it is compiled.
        if module.training and (torch.compiler.is_compiling() or not (self._local.stack or _inference())):
            return
        self._begin(module)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _begin(self, module: Module) -> None:
        local = self._local
        if local.stack and left_over(local.stack, sys._getframe(1)):
            self._close()  # a KeyboardInterrupt ended the last forward pass without calling the hooks
            if module.training and not _inference():
                return
        if local.stack:
            self._look()
            local.stack.append(module)
        else:
            local.generators = python_state()
            local.stack.append(module)
            local.mode = _GuardMode(self)
            local.mode.__enter__()

    def _leave(self, module: Module, *_: Any) -> None:
        if not (module.training and torch.compiler.is_compiling()) and self._local.stack:
            self._end(module)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _end(self, module: Module) -> None:
        local = self._local
        try:
            self._look()
        finally:
            while local.stack and local.stack.pop() is not module:
                pass  # a module whose forward raised, and whose hooks did not run
            if not local.stack:
                self._close()

    def _close(self) -> None:
        """Stop watching the current forward pass of this thread."""
        local = self._local
        local.stack.clear()
        mode: Any = local.mode
        local.mode = None
        current: Any = current_dispatch_mode()
        if mode is not None and mode is current:
            mode.__exit__(None, None, None)

    def _look(self) -> None:
        """Refuse a draw from `random` or `numpy.random`: their state has changed since the last call of this method.

        The draw is attributed to the innermost running module.
        """
        local = self._local
        state = python_state()
        if state != local.generators:
            local.generators = state
            module = next((inner for inner in reversed(local.stack) if inner in self._names), self._model)
            self.refuse(module, in_python(self._names[module], module))

    def refuse(self, module: Module, found: Drawing) -> None:
        """Raise `NoiseInEval`, unless the module may draw."""
        inference = _inference()
        if module.training and not inference:
            return
        place = self._place(module, found)
        if any(fnmatchcase(place, pattern) for pattern in self.allow):
            return
        mode = "inference mode" if inference else "eval mode"
        with_p = "" if found.p is None else f" with p = {found.p:.6g}"
        where = f" at {found.where.file}:{found.where.line}" if found.where.file else ""
        cure = "Call model.eval() first" if module.training else "Have it follow self.training"
        raise NoiseInEval(
            f"`eval_guard`: {place!r} must draw no noise in {mode}. Got {found.where.function}{with_p}{where}. "
            f"{cure}, or allow it: allow=({place!r},).",
            place,
            found,
        )

    def watch(self, func: Any, args: Any, kwargs: Any) -> None:
        """Refuse the noise of an operator that is about to run. Called by the dispatch mode."""
        found = drawing_of(func, args, kwargs, self._names)
        if found is not None:
            self.refuse(found.owner, found)

    def _place(self, module: Module, found: Drawing) -> str:
        """The name of a draw's place, as in `thinned.inspect`."""
        key = found.where
        if rate_attributes(module) or "<" in key.module:
            return key.module
        if key not in self._known:
            places = RatePlaces("eval_guard", self._model).by_name.values()
            where = f"{key.file}:{key.line}"
            names = [place.name for place in places if place.module is module and place.where == where]
            self._known[key] = names[0] if names else f"{key.module}:{key.function}"
        return self._known[key]


class _Local(threading.local):
    """The state of the forward pass that is running in each thread."""

    def __init__(self) -> None:
        self.stack: list[Module] = []  # the running modules; the first is the outermost one that is watched
        self.mode: Any = None
        self.generators: Any = None


class _GuardMode(TorchDispatchMode):
    """Shows the guard every random operator before it runs."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.guard = guard

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags or func.namespace == "thinned":
            self.guard.watch(func, args, kwargs)
        return func(*args, **kwargs)


def _check_patterns(model: Module, patterns: tuple[str, ...]) -> None:
    """Refuse a pattern that can match no place: neither one known before a run, nor a `module:function` of a run."""
    places = RatePlaces("eval_guard", model).by_name if patterns else {}
    modules = [name for name, _ in named_modules(model)] if patterns else []
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(
                f"`eval_guard`: `allow` must be patterns, which are text. Got {pattern!r}. Pass names of places, such "
                "as thinned.rates(model) has."
            )
        if not any(fnmatchcase(place, pattern) for place in places) and not _in_a_run(pattern, modules):
            hint = "What only a run shows is named `module:function`, with the module's own name."
            raise matches_none("eval_guard", "allow", pattern, places, hint=hint)


def _in_a_run(pattern: str, modules: list[str]) -> bool:
    """Whether a pattern can match a name `module:function` or `module<Class>` of one of these modules.

    Neither a function nor a class has a dot in its name, so the text before the last dot must match in the module.
    """
    heads = [pattern[: found.start()] for found in re.finditer("[:<]", pattern)][:1]
    heads += [pattern[: found.end()] for found in re.finditer(r"\*", pattern) if "." not in pattern[found.end() :]]
    return any(fnmatchcase(module, head) for head in heads for module in modules)


def _quiet(module: Module) -> bool:
    """Whether a module certainly draws nothing: it is a layer of torch without children, and no dropout."""
    mine = type(module).__module__
    leaf = not module._modules and mine.startswith("torch.nn.modules") and "forward" not in module.__dict__
    return leaf and not rate_attributes(module) and not isinstance(module, torch.nn.RReLU)


def _inference() -> bool:
    return torch.is_inference_mode_enabled()
