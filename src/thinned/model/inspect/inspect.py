"""`thinned.inspect`: every place in a model that draws noise, as it is and as it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...nn.names import named_modules
from ..known.operations import INSIDE
from ..watch.generators import States
from ..watch.trace import Trace, trace
from ..watch.untouched import untouched
from .inspection import Inspection
from .places import Places
from .times import Times, timed

Module = torch.nn.Module


def inspect(model: Module, *args: Any, passes: int = 8, **kwargs: Any) -> Inspection:
    """Find every place that draws noise when `model(*args, **kwargs)` runs, on a model as it is.

    The model runs in training mode and in evaluation mode. Seen are dropout modules of torch, timm, torchvision,
    transformers and thinned, functional dropout, dropout in attention and recurrent layers, and masks made by hand from
    torch's random functions; of `random` and `numpy.random`, in which module's code they drew.

    Arguments:
        model: any module, compiled ones included, which run uncompiled here.
        args, kwargs: an example of what the model is called with. Its size decides how much a measured rate rests on.
        passes: at most so many forward passes in training mode, until each mask has been measured on 256
            units and layers that LayerDrop left out have run.

    Returns: an `Inspection`. `print` shows a table; `places`, `to_json()` and `to_pandas()` have the same in full;
    `train` and `eval` are the first pass in each mode, call by call, `passes` all of those in training mode.

    Modes, buffers and random state are put back, bit for bit, after an exception too. Evaluation runs without gradient.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module that has not seen an input.
        Exception: whatever the model itself raises on the example.

    Cost: 4 to 12 forward passes, and about 50 microseconds for each call of torch in those that are watched.

    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Dropout(0.25))
    >>> place, = inspect(net, torch.ones(100, 8)).places
    >>> place.name, place.kind, place.p, place.active, abs(place.measured - 0.25) < 0.05
    ('2', 'Dropout', 0.25, 'train', True)
    """
    if not isinstance(passes, int) or passes < 1:
        raise ValueError(f"`inspect`: `passes` must be an integer, 1 or more. Got {passes!r}. The default is 8.")
    with untouched("inspect", model):
        states = States.now()
        seen = _Seen(model, args, kwargs)
        seen.train()
        seen.evaluate()
        seen.train_again(passes, seen.measured_too)
        times = _times(model, args, kwargs, seen.passes[0], states)
        return seen.inspection(times)


PATIENCE = 32  # passes that `glance` waits for a layer that LayerDrop skips


def glance(model: Module, args: Any, kwargs: Any) -> Inspection:
    """`inspect` for the places alone: nothing is timed, and masks are not measured further.

    Passes in training mode are repeated until all modules that run in evaluation have run, where chance decides that.
    """
    with untouched("inspect", model), torch.no_grad():
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

    def train(self) -> None:
        """Run once in training mode."""
        self._model.train()
        self.passes.append(trace(self._model, *self._args, **self._kwargs))
        self._places.add(self.passes[-1], self._names, training=True)

    def train_again(self, most: int, needed: Callable[[], bool]) -> None:
        """Run on in training mode while more is needed, `most` passes in all."""
        while len(self.passes) < most and needed():
            self.train()

    def evaluate(self) -> None:
        """Run in evaluation mode."""
        self._model.eval()
        with torch.no_grad():
            self._evaluated = trace(self._model, *self._args, **self._kwargs)

    def left_out(self) -> bool:
        """Whether a module that runs in evaluation has run in no pass, where chance may have decided so."""
        waiting = self._evaluated.ran.keys() - {name for trained in self.passes for name in trained.ran}
        return bool(waiting) and self._places.skips()

    def measured_too(self) -> bool:
        """Whether another pass may also tell more of a measured rate."""
        return self._places.unsettled() or self.left_out()

    def inspection(self, times: Times | None) -> Inspection:
        self._places.add(self._evaluated, self._names, training=False)
        found = tuple(self._places.found(self.passes[0], times))
        seconds = self.passes[0].seconds if times is None else times.total
        name = type(self._model).__name__
        return Inspection(name, found, self.passes[0], self._evaluated, seconds, tuple(self.passes))


def _times(model: Module, args: Any, kwargs: Any, train: Trace, states: States) -> Times:
    """Time passes that draw what the traced one drew, so that the same layers run."""

    def run(quiet: bool) -> tuple[list[float], float]:
        states.put_back()
        return timed(model, args, kwargs, quiet=quiet)

    runs = [run(quiet=False) for _ in range(2)]
    noise_inside = any(call.function in INSIDE and call.p and call.training for call in train.calls)
    return Times(runs, run(quiet=True)[0] if noise_inside else None)
