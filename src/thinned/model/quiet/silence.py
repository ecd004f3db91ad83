"""What `disabled` does while a model runs: calls that drop are switched off, and any other noise is refused."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from ...forked import undone
from ..edit.without_noise import drops, without_noise
from ..inspect.pattern import named
from ..known.functions import canonical
from ..known.where import Where
from ..rates.rate_places import RatePlaces
from ..watch.callsite import callsite, is_run_by_tool
from ..watch.eager import eager
from ..watch.interrupted import Handle
from ..watch.uncompiled import uncompiled
from ..watch.underway import running
from .drawing import Drawing, place_of
from .forward_watch import ForwardWatch
from .model_names import ModelNames
from .noise_left import NoiseLeft, drew
from .watch_hooks import add_hooks, take_off
from .watch_modes import MODES

Module = torch.nn.Module


class Silence(ForwardWatch):
    """Watches the forward passes of a model in which noise is off.

    Arguments:
        rate_places: the places that are known from modules and source.
        off: names of those whose p is 0 now.
        pattern: the places that are to be off.
        allow: patterns of the places that may draw.
    """

    changes_calls = True

    def __init__(
        self, model: Module, rate_places: RatePlaces, off: Collection[str], pattern: str, allow: tuple[str, ...]
    ) -> None:
        super().__init__()
        self._places = rate_places
        self._off = [rate_places.by_name[name] for name in off]
        self._pattern, self._allow = pattern, allow
        self._names = ModelNames(model)

    def passes_by(self, module: Module) -> bool:
        if torch.compiler.is_dynamo_compiling():
            raise RuntimeError(
                "`disabled`: a model must not be compiled inside the `with`. Compile it before or after."
            )
        return not self._passes.stack and is_run_by_tool(sys._getframe(1))

    def names(self) -> ModelNames:
        return self._names

    def changed(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """The call without its noise, if it drops and the pattern matches its place."""
        if not drops(func, args, kwargs) or not self._is_off(func):
            return func, args, kwargs
        return without_noise(func, args, kwargs)

    @uncompiled
    def _is_off(self, func: Any) -> bool:
        frame = sys._getframe(2)
        place = self._names.place(list(running(frame)))
        if place is None:
            return False  # a call of another model's
        if self._pattern == "*" and not self._allow:
            return True
        found = Drawing(place[0], Where(place[1], canonical(func), *callsite(frame)), None)
        return self._asked(place_of(place[0], found, self._places))

    def _asked(self, name: str) -> bool:
        """Whether a place of this name is to be off."""
        return named(name, self._pattern) and not any(named(name, pattern) for pattern in self._allow)

    def refuse(self, found: Drawing) -> None:
        name = place_of(found.owner, found, self._places)
        if not self._asked(name) or self._set_to_zero(found):
            return
        raise NoiseLeft(
            f"`disabled`: {name!r} must draw no noise. Got {drew(found)}, which has no p that can be set to 0. Have "
            "the code draw under `if self.training:` and use eval(), leave the place out of `pattern`, or let it draw: "
            f"allow=({name!r},).",
            name,
            found,
        )

    def _set_to_zero(self, found: Drawing) -> bool:
        """Whether a draw belongs to a place whose p is 0 now: a mask with p = 0 may be drawn, and drops nothing."""
        line = f"{found.where.file}:{found.where.line}"
        return any(
            place.p == 0.0 and place.module is found.owner and place.where in ("", line) for place in self._off
        ) or any(place.p == 0.0 and place.name == found.where.module for place in self._off)


@contextmanager
def silent(model: Module, silence: Silence) -> Iterator[None]:
    """Inside the `with`, the silence watches every forward pass of the model, uncompiled, in every thread."""
    with ExitStack() as stack:
        stack.callback(silence.abandon)  # in an export torch runs no hook after an error
        stack.enter_context(MODES.none_left())
        handles: list[Handle] = []
        stack.enter_context(undone(partial(take_off, handles)))
        add_hooks(handles, model, silence)
        stack.enter_context(eager(everywhere=True))  # in a graph no call of torch can be seen or changed
        yield
