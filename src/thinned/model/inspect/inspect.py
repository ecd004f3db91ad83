"""`thinned.inspect`: every place in a model that draws noise, with its configured and its measured p."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ...frameworks import keras_tools
from ...nn.names import named_modules
from ..known.keras import keras_parts
from ..known.operations import INSIDE
from ..watch.example import by_name
from ..watch.modes import ModesFound, set_mode
from ..watch.private_noise import PrivateNoise
from ..watch.stand_in import StandIn, stood_in
from ..watch.trace import Trace, trace
from .inspection import Inspection
from .place import Place
from .places import Places
from .times import Times, timed

Module = torch.nn.Module


def inspect(model: Module, *args: Any, passes: int = 8, **kwargs: Any) -> Inspection:
    """Find every place in an unmodified model that draws noise when `model(*args, **kwargs)` runs.

    The model runs in training mode and in evaluation mode. Found are dropout modules of torch, timm, torchvision,
    transformers and thinned, functional dropout, dropout in attention and recurrent layers, and masks made by hand from
    torch's random functions. For `random` and `numpy.random`, the modules are found in whose code they draw.

    Arguments:
        model: any module. A compiled one runs uncompiled here. Or a Keras model, whose layers are asked.
        args, kwargs: an example of the arguments that the model is called with. A mapping alone holds them by name, as
            in `predict`: `inspect(model, {"input_ids": ids})`. On a larger example, more units are
            counted for a measured p.
        passes: the largest number of forward passes in training mode. Fewer are made if each mask has been measured on
            256 units before, and chance does not decide which layers run (LayerDrop).

    Returns: an `Inspection`. `print` shows it as a table; `places`, `to_json()` and `to_pandas()` give all values.
    `train` and `eval` are the first pass in each mode, call by call, and `passes` are all passes in training mode.

    A copy of the model runs, which shares its parameters, and its noise comes from copies of the generators. So the
    model, its modes, buffers, hooks and attributes, and all random state stay as they are, and other threads may use
    them meanwhile. Not copied are modules that a forward finds in a global variable, and models under FSDP: these run
    themselves, are put back, and no other thread may use them meanwhile. Evaluation runs without gradient.

    For each place the result also tells the mode in which the caller left its module, and whether it drew noise so: if
    the modes differ, one more pass runs in them.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module in the model has not seen an input yet.
        ValueError: `passes` is no integer of 1 or more.
        Exception: any error that the model itself raises on the example.

    Cost: 4 to 12 forward passes with the default `passes`, and about 50 microseconds for each recorded call of torch.

    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Dropout(0.25))
    >>> place, = inspect(net, torch.ones(100, 8)).places
    >>> place.name, place.kind, place.p, place.active, abs(place.measured - 0.25) < 0.05
    ('2', 'Dropout', 0.25, 'train', True)
    """
    if not isinstance(passes, int) or passes < 1:
        raise ValueError(f"`inspect`: `passes` must be an integer, 1 or more. Got {passes!r}. The default is 8.")
    if "keras" in sys.modules and (tools := keras_tools(model)) is not None:
        return tools.inspect(model, *args, passes=passes, **kwargs)  # type: ignore[no-any-return]
    if args and isinstance(args[0], Mapping):
        args, kwargs = by_name(model, args, kwargs)
    with stood_in("inspect", model) as (stand_in, noise):
        seen = _Seen(stand_in.module, args, kwargs)
        seen.train()
        seen.evaluate()
        seen.train_again(passes, seen.measured_too)
        seen.as_found()
        times = _times(stand_in.module, args, kwargs, seen.passes[0], noise)
        return seen.inspection(times, stand_in)


PATIENCE = 32  # the most passes in training mode in which `glance` waits for a skipped layer


def glance(model: Module, args: Any, kwargs: Any) -> Inspection:
    """Inspect a model for its places alone: no pass is timed, and none is added to measure masks.

    The model is a copy that nothing else uses, and the caller is in `stood_in`.

    Where chance decides which modules run, passes in training mode are repeated until every module that runs in
    evaluation has run, or `PATIENCE` is used up.
    """
    with torch.no_grad():
        seen = _Seen(model, args, kwargs)
        seen.evaluate()
        seen.train()
        seen.train_again(PATIENCE, seen.left_out)
        return seen.inspection(None)


class _Seen:
    """The passes of a model, and the places that they show."""

    def __init__(self, model: Module, args: Any, kwargs: Any) -> None:
        self._model, self._args, self._kwargs = model, args, kwargs
        self._names = dict(named_modules(model))
        self._places = Places()
        self.passes: list[Trace] = []  # in training mode
        self._found = ModesFound(model)

    def train(self) -> None:
        """Run once in training mode."""
        set_mode(self._model, True)
        self._found.same_in_training = self._found.are_there()
        self.passes.append(trace(self._model, *self._args, **self._kwargs))
        self._places.add(self.passes[-1], self._names, training=True)

    def train_again(self, most: int, needed: Callable[[], bool]) -> None:
        """Run again in training mode while `needed()` is true, up to `most` passes in all."""
        while len(self.passes) < most and needed():
            self.train()

    def evaluate(self) -> None:
        """Run in evaluation mode."""
        set_mode(self._model, False)
        self._found.same_in_evaluation = self._found.are_there()
        with torch.no_grad():
            self._evaluated = trace(self._model, *self._args, **self._kwargs)

    def left_out(self) -> bool:
        """Whether a module that runs in evaluation has not run in training yet, and chance may be the reason."""
        waiting = self._evaluated.ran.keys() - {name for trained in self.passes for name in trained.ran}
        return bool(waiting) and self._places.skips()

    def measured_too(self) -> bool:
        """Whether another pass may make a measured p more precise, or run a module that has not run yet."""
        return self._places.unsettled() or self.left_out()

    def as_found(self) -> None:
        """Run once in the modes as they were found, unless a pass in training or evaluation mode was that."""
        if not (self._found.same_in_training or self._found.same_in_evaluation):
            self._found.put_back()
            with torch.no_grad():
                self._present = trace(self._model, *self._args, **self._kwargs)

    def inspection(self, times: Times | None, stand_in: StandIn | None = None) -> Inspection:
        if stand_in is not None:
            for found in (*self.passes, self._evaluated):
                found.loose = {name: stand_in.original(module) for name, module in found.loose.items()}
        self._places.add(self._evaluated, self._names, training=False)
        places = tuple(self._places.found(self.passes[0], times))
        if times is not None:
            places = tuple(self._as_found(place) for place in places)
        seconds = self.passes[0].seconds if times is None else times.total
        name = type(self._model).__name__
        unseen = tuple(map(str, keras_parts(self._names, [place.module for place in places if place.train_calls])))
        return Inspection(name, places, self.passes[0], self._evaluated, seconds, tuple(self.passes), unseen)

    def _as_found(self, place: Place) -> Place:
        """The place with the mode that its module was found in, and whether it drew noise then."""
        mode = self._found.mode(place.module, self.passes[0].loose)
        if self._found.same_in_training:
            now = place.train_calls > 0
        elif self._found.same_in_evaluation:
            now = place.eval_calls > 0
        else:
            now = self._places.drew(self._present, place)
        return replace(place, mode=mode, now=now)


def _times(model: Module, args: Any, kwargs: Any, train: Trace, noise: PrivateNoise) -> Times:
    """Time passes in training mode that draw the numbers of the pass `train`, so that the same layers run."""
    orders = [call.order for call in train.calls if call.draws]
    set_mode(model, True)

    def run(quiet: bool) -> tuple[list[float], float]:
        noise.rewind()
        return timed(model, args, kwargs, noise, orders, quiet=quiet)

    runs = [run(quiet=False) for _ in range(2)]
    noise_inside = any(call.function in INSIDE and call.p and call.training for call in train.calls)
    return Times(runs, run(quiet=True)[0] if noise_inside else None)
