"""`thinned.disabled`: a context manager in which a model has no dropout, in training mode too."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...forked import undone
from ...frameworks import keras_tools
from ..edit.rate_holder import Assignment, RateHolder
from ..edit.switched_off import SwitchedOff, is_held
from ..inspect.pattern import named
from ..rates.assign import assign
from ..rates.patterns import matching_places
from ..rates.rate_places import RatePlace, RatePlaces
from .model_names import in_a_run
from .silence import Silence, silent
from .watch_hooks import check_call

Module = torch.nn.Module


@contextmanager
def disabled(model: Module, pattern: str = "*", *, example: Any = None, allow: Iterable[str] = ()) -> Iterator[None]:
    """Inside the `with`, the model has no noise, whatever mode it is in.

    Every p is 0. Modes stay as they are, so batch normalisation still uses the statistics of the batch. Use this where
    a model in training mode must give an output without noise: log-probabilities in RLHF, the value of a training loss.
    A layer with classic scaling multiplies by q, as it does at inference: it alone is in eval mode inside the `with`.

    What neither modules nor source tell of is met while the model runs: a function that drops, called from a table, a
    lambda, a hook or code without source, gets p = 0. Any other noise is an error: masks made by hand, samples of
    torch.distributions, `random` and NumPy. Nothing compiled runs meanwhile: compiled models run uncompiled, in the
    whole process.

    At the end every p is put back, after an exception too. A `disabled` may be nested in another, and those of several
    threads may overlap: the last one that ends puts p back. p belongs to the model, so every thread that runs the model
    sees p = 0. `convert` and `revert` refuse a layer that is switched off.

    Arguments:
        model, example: as in `set_rates`.
        pattern: the names of the places to switch off; "*" is all of them.
        allow: patterns of the names of places that may draw, such as `("encoder:randn_like",)` for the latent variable
            of a variational autoencoder.

    Raises: when the `with` begins, as `set_rates`, and TypeError if a pattern in `allow` is no text. When the model
        runs, NoiseLeft: a RuntimeError that names the place, its file and its line. The noise is not drawn then, or,
        from `random` and NumPy, at the latest until the module that drew returns.

    Cost: about 2 microseconds for each call of torch in the model's forward, and 5 for each operator.

    >>> net = torch.nn.Dropout(0.5)
    >>> with disabled(net):
    ...     net(torch.ones(4))
    tensor([1., 1., 1., 1.])
    >>> net.p
    0.5
    """
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    for text in allowed:
        if not isinstance(text, str):
            raise TypeError(
                f"`disabled`: `allow` must be patterns, which are text. Got {text!r}. Pass names of places, such as "
                "the error names."
            )
    if "keras" in sys.modules and (tools := keras_tools(model)) is not None:
        with tools.disabled(model, pattern, example=example, allow=allowed):
            yield
        return
    rate_places = RatePlaces("disabled", model, example)
    check_call("disabled", model)
    known = any(named(name, pattern) for name in (*rate_places.by_name, *rate_places.aliases))
    unknown = not known and (pattern == "*" or in_a_run(pattern, rate_places.registered))  # only a run can show it
    names = [] if unknown else matching_places("disabled", "pattern", pattern, rate_places)
    names = [name for name in names if not any(named(name, text) for text in allowed)]
    by_mode = [
        module
        for name in names
        if _is_off_in_evaluation(module := rate_places.by_name[name].module)
        and (module.training or is_held(_Mode(module).key))
    ]
    change = _RatesOff()
    with undone(change.undo):
        for module in by_mode:
            change.off.hold(_Mode(module))
            module.training = False
        off = [name for name in names if rate_places.by_name[name].module not in by_mode]
        assign("disabled", model, rate_places, dict.fromkeys(off, 0.0), change)
        change.off.mark([each for name in names for each in _holders(rate_places.by_name[name])])
        with silent(model, Silence(model, rate_places, off, pattern, allowed)):
            yield


class _Mode:
    """The mode of a module, as what holds its p."""

    def __init__(self, module: Module) -> None:
        self.module = module

    @property
    def key(self) -> tuple[int, str]:
        return id(self.module), "training"

    @property
    def state(self) -> bool:
        return self.module.training

    @state.setter
    def state(self, value: bool) -> None:
        self.module.training = value


class _RatesOff(Assignment):
    """Sets rates to 0, each of which others may hold at 0 too."""

    def __init__(self) -> None:
        super().__init__()
        self.off = SwitchedOff()

    def _is_held(self, way: RateHolder) -> bool:
        return is_held(way.key)

    def _note(self, way: RateHolder) -> None:
        self.off.hold(way)
        super()._note(way)

    def undo(self) -> None:
        self.before.clear()
        self.off.release()


def _is_off_in_evaluation(module: Module) -> bool:
    """Whether a dropout is switched off by its mode: classic scaling multiplies by q then; TorchScript has p fixed."""
    return getattr(module, "scaling", "") == "classic" or isinstance(module, torch.jit.ScriptModule)


def _holders(place: RatePlace) -> tuple[Any, ...]:
    """The objects that hold the p of a place: its module, and the owner of the attribute if it is set by one."""
    return (place.module,) if place.attribute is None else (place.module, place.attribute.owner)
