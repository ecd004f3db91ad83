"""`thinned.inspect`: every place in a model that draws noise, as it is and as it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from ..nn.names import named_modules
from .generators import States
from .noisy import INSIDE
from .place import Place, Places
from .times import Times, timed
from .trace import Trace, trace
from .untouched import untouched

if TYPE_CHECKING:
    import pandas

Module = torch.nn.Module


class Inspection:
    """What `inspect` found. It prints as a table; `places` are its rows."""

    def __init__(
        self,
        model: str,
        places: tuple[Place, ...],
        train: Trace,
        eval: Trace,  # noqa: A002
        seconds: float,
        passes: tuple[Trace, ...] = (),
    ) -> None:
        self.model = model  # the model's class
        self.places = places
        self.train = train  # the forward pass in training mode, call by call
        self.eval = eval
        self.seconds = seconds  # of a forward pass in training mode
        self.passes = passes or (train,)  # in training mode, of which LayerDrop may make several

    def __getitem__(self, name: str) -> Place:
        for place in self.places:
            if place.name == name:
                return place
        raise KeyError(f"no place is called {name!r}. Places: {', '.join(place.name for place in self.places)}.")

    def to_json(self) -> str:
        """The table as JSON: the model's class, seconds of a forward pass, and one object a place."""
        rows = [place.row() for place in self.places]
        return json.dumps({"model": self.model, "seconds": self.seconds, "places": rows}, indent=2)

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame, one row a place. Needs pandas, which the extra `study` brings."""
        try:
            import pandas
        except ImportError:
            raise ImportError("`to_pandas`: pandas is not here. pip install 'thinned[study]'") from None
        rows = [place.row() for place in self.places]
        return pandas.DataFrame(rows, columns=list(rows[0]) if rows else [*Place.__dataclass_fields__])

    def __str__(self) -> str:
        from .table import text

        return text(self)

    def __rich__(self) -> Any:
        from .table import rich_table

        return rich_table(self)

    __repr__ = __str__


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
        places = Places()
        names = dict(named_modules(model))
        states = States.now()
        model.train()
        train = trace(model, *args, **kwargs)
        places.add(train, names, training=True)
        model.eval()
        with torch.no_grad():
            evaluated = trace(model, *args, **kwargs)
        model.train()
        waiting = evaluated.ran.keys() - train.ran.keys()
        trained = [train]
        while len(trained) < passes and (places.unsettled() or (waiting and places.skips())):
            trained.append(trace(model, *args, **kwargs))
            places.add(trained[-1], names, training=True)
            waiting -= trained[-1].ran.keys()
        times = _times(model, args, kwargs, train, states)
        places.add(evaluated, names, training=False)
        found = tuple(places.found(train, times))
    return Inspection(type(model).__name__, found, train, evaluated, times.total, tuple(trained))


PATIENCE = 32  # passes that `glance` waits for a layer that LayerDrop skips


def glance(model: Module, args: Any, kwargs: Any) -> Inspection:
    """`inspect` for the places alone: nothing is timed, and masks are not measured further.

    Passes in training mode are repeated until all modules that run in evaluation have run, where chance decides that.
    """
    with untouched("inspect", model), torch.no_grad():
        places = Places()
        names = dict(named_modules(model))
        model.eval()
        evaluated = trace(model, *args, **kwargs)
        model.train()
        waiting = set(evaluated.ran)
        passes: list[Trace] = []
        while not passes or (waiting and places.skips() and len(passes) < PATIENCE):
            passes.append(trace(model, *args, **kwargs))
            places.add(passes[-1], names, training=True)
            waiting -= passes[-1].ran.keys()
        places.add(evaluated, names, training=False)
        found = tuple(places.found(passes[0], None))
    return Inspection(type(model).__name__, found, passes[0], evaluated, passes[0].seconds, tuple(passes))


def _times(model: Module, args: Any, kwargs: Any, train: Trace, states: States) -> Times:
    """Time passes that draw what the traced one drew, so that the same layers run."""

    def run(quiet: bool) -> tuple[list[float], float]:
        states.put_back()
        return timed(model, args, kwargs, quiet=quiet)

    runs = [run(quiet=False) for _ in range(2)]
    noise_inside = any(call.function in INSIDE and call.p and call.training for call in train.calls)
    return Times(runs, run(quiet=True)[0] if noise_inside else None)
