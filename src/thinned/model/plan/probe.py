"""Traces a model with every dropout switched on, also those with p = 0, which would leave no call in the trace.

During the trace each dropout of p = 0 has its own p: 1/4 plus a small number that no other dropout has. If a call of
attention is then given this p, the attribute that the model reads it from is known, however the p gets there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..._torch import tree_map_only
from ...nn.names import named_modules
from ..edit.anchor import Anchor
from ..edit.rate_holder import Assignment, Attribute
from ..known.modules import rate_attributes
from ..watch.modes import set_mode
from ..watch.trace import Trace, trace
from ..watch.untouched import untouched

Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Own:
    """The p of a dropout module, and the anchor of the attribute that holds it."""

    anchor: Anchor
    p: float


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of `probe`: the trace in training mode, and the p of the model's own dropouts before it.

    Example of `told`: a forward calls `scaled_dot_product_attention(..., dropout_p=self.drop)`, and `self.drop` is 0.
    Then `told` maps the index of this call to the anchor of the attribute `drop`.
    """

    trace: Trace
    rates: dict[str, Own]  # by module name
    told: dict[int, Anchor]  # by call of attention with p = 0: the attribute that it reads p from


def probe(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probe:
    """Trace a model in training mode, with its own dropouts switched on."""
    with untouched("plan", model), torch.no_grad():
        set_mode(model, True)
        rates = dict(_rates(model))
        asleep = [own.anchor for own in rates.values() if own.p == 0]
        found, told = _run(model, args, kwargs, asleep)
        plain = [
            anchor
            for call in found.calls
            if call.function == "scaled_dot_product_attention" and not call.p
            for anchor in _numbers(model, call.module)
        ]
        if plain:  # attributes that are no dropout modules, such as `self.dropout` in `dropout_p=self.dropout`
            found, told = _run(model, args, kwargs, list(dict.fromkeys([*asleep, *plain])))
    return Probe(found, rates, told)


def _run(
    model: Module, args: tuple[Any, ...], kwargs: dict[str, Any], asleep: list[Anchor]
) -> tuple[Trace, dict[int, Anchor]]:
    """The trace with a trial p for each anchor in `asleep`, and `told` as in `Probe`."""
    modules = dict(named_modules(model))
    trial = {0.25 + 1e-6 * number: anchor for number, anchor in enumerate(asleep, 1)}
    args, kwargs = copied(args, kwargs)
    with woken([(modules[anchor.module], anchor.what, p) for p, anchor in trial.items()]):
        found = trace(model, *args, **kwargs)
    attends = [call for call in found.calls if call.function == "scaled_dot_product_attention"]
    return found, {call.index: trial[call.p] for call in attends if call.p in trial}


def _rates(model: Module) -> Iterator[tuple[str, Own]]:
    """The model's dropout modules and their p.

    Attention and recurrent layers are left out: their calls are in a trace at every p.
    """
    for name, module in named_modules(model):
        attributes = rate_attributes(module)
        if attributes and not isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention):
            yield name, Own(Anchor(attributes[0], name), Attribute(module, attributes[0]).p)


def _numbers(model: Module, name: str) -> Iterator[Anchor]:
    """The plain attributes of a module that are 0 and have "drop" in their name, so they may hold a p."""
    module = dict(named_modules(model)).get(name)
    for attribute, value in [*vars(module).items()] if module is not None else ():
        if "drop" in attribute.lower() and type(value) in (int, float) and value == 0:
            yield Anchor(attribute, name)


def copied(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A copy of the example, because a forward pass may write into it: Whisper masks its input so in training."""
    copies: tuple[tuple[Any, ...], dict[str, Any]] = tree_map_only(
        torch.Tensor, lambda tensor: tensor.detach().clone(), (args, kwargs)
    )
    return copies


@contextmanager
def woken(trials: Iterable[tuple[Module, str, float]]) -> Iterator[None]:
    """Inside the `with`, each of these attributes of modules has its trial p."""
    assignment = Assignment()
    try:
        for module, attribute, p in trials:
            assignment.assign(Attribute(module, attribute), p)
        yield
    finally:
        assignment.undo()
