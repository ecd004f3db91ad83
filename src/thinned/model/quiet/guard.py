"""`thinned.eval_guard`: noise that a model draws in evaluation raises an error that names the place."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import torch

from ...forked import undone
from ...nn.names import named_modules
from ..inspect.pattern import matches_none, named
from ..known.where import Where
from ..rates.rate_places import RatePlaces
from ..watch.interrupted import Handle
from ..watch.untouched import check_module
from .drawing import Drawing, place_of
from .forward_watch import ForwardWatch
from .model_names import ModelNames, in_a_run
from .noise_left import NoiseLeft, drew
from .watch_hooks import add_hooks, check_call, take_off

Module = torch.nn.Module


class NoiseInEval(NoiseLeft):
    """A model drew noise in eval mode or inference mode, where `eval_guard` forbids it.

    `place` is the name of the place as in `thinned.inspect`. `module`, `function`, `file`, `line` and `p` describe the
    call that drew.
    """


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
    check_call("eval_guard", model)
    patterns = (allow,) if isinstance(allow, str) else tuple(allow)
    _check_patterns(model, patterns)
    return Guard(model, patterns)


class Guard(ForwardWatch):
    """Watches the forward passes of a model by hooks, until `remove()` or the end of a `with`."""

    def __init__(self, model: Module, allow: tuple[str, ...]) -> None:
        super().__init__()
        self.allow = allow
        self._model = model
        self._names = ModelNames(model)
        self._known: dict[Where, str] = {}
        self._handles: list[Handle] = []
        self._with = ExitStack()
        try:
            add_hooks(self._handles, model, self)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the hooks: the model is no longer watched."""
        self.abandon()
        take_off(self._handles)

    def __enter__(self) -> Guard:
        try:
            # A guard without `with` is the model's, in a forked child too.
            self._with.enter_context(undone(self.remove))
            return self
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._with.close()
        finally:
            self.remove()  # what an interrupt has left

    def passes_by(self, module: Module) -> bool:
        # torch.compile makes one graph for each value of `training`, but none for inference mode: so a module in
        # training mode is never watched while it is compiled.
        return module.training and (torch.compiler.is_compiling() or not (self._passes.stack or _inference()))

    def is_traced(self, module: Module) -> bool:
        return module.training and torch.compiler.is_compiling()

    def names(self) -> ModelNames:
        return self._names

    def refuse(self, found: Drawing) -> None:
        """Raise `NoiseInEval`, unless the module may draw."""
        module, inference = found.owner, _inference()
        if module.training and not inference:
            return
        place = self._place(module, found)
        if any(named(place, pattern) for pattern in self.allow):
            return
        mode = "inference mode" if inference else "eval mode"
        cure = "Call model.eval() first" if module.training else "Have it follow self.training"
        raise NoiseInEval(
            f"`eval_guard`: {place!r} must draw no noise in {mode}. Got {drew(found)}. "
            f"{cure}, or allow it: allow=({place!r},).",
            place,
            found,
        )

    def _place(self, module: Module, found: Drawing) -> str:
        """The name of a draw's place, as in `thinned.inspect`."""
        key = found.where
        if key not in self._known:
            self._known[key] = place_of(module, found, RatePlaces("eval_guard", self._model))
        return self._known[key]


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
        if not any(named(place, pattern) for place in places) and not in_a_run(pattern, modules):
            hint = "What only a run shows is named `module:function`, with the module's own name."
            raise matches_none("eval_guard", "allow", pattern, places, hint=hint)


def _inference() -> bool:
    return torch.is_inference_mode_enabled()
