"""A model's trace with every dropout of its own awake: one that has p = 0 gives its input back, and would not be seen.

Each is run with a p of its own, close to 1/4 and like no other, so that an attention call that is told this p is known
to take it from there, whatever the model's code does in between.
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
from ..edit.rate_holder import Attribute
from ..known.modules import rate_attributes
from ..watch.trace import Trace, trace
from ..watch.untouched import untouched

Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Own:
    """A dropout module's p, and where the module keeps it."""

    anchor: Anchor
    p: float


@dataclass(frozen=True, slots=True)
class Probe:
    """A trace in training mode, and what the model's own dropout was set to."""

    trace: Trace
    rates: dict[str, Own]  # by the module's name
    told: dict[int, Anchor]  # for an attention call whose p is 0 and is some attribute's: that attribute


def probe(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probe:
    """Trace a model in training mode, with its own dropouts awake."""
    with untouched("plan", model), torch.no_grad():
        model.train()
        rates = dict(_rates(model))
        asleep = [own.anchor for own in rates.values() if own.p == 0]
        found, told = _run(model, args, kwargs, asleep)
        plain = [
            anchor
            for call in found.calls
            if call.function == "scaled_dot_product_attention" and not call.p
            for anchor in _numbers(model, call.module)
        ]
        if plain:  # numbers that a forward hands on, as `dropout_p=self.dropout`
            found, told = _run(model, args, kwargs, list(dict.fromkeys([*asleep, *plain])))
    return Probe(found, rates, told)


def _run(
    model: Module, args: tuple[Any, ...], kwargs: dict[str, Any], asleep: list[Anchor]
) -> tuple[Trace, dict[int, Anchor]]:
    modules = dict(named_modules(model))
    trial = {0.25 + 1e-6 * number: anchor for number, anchor in enumerate(asleep, 1)}
    args, kwargs = copied(args, kwargs)
    with woken([(modules[anchor.module], anchor.what, p) for p, anchor in trial.items()]):
        found = trace(model, *args, **kwargs)
    attends = [call for call in found.calls if call.function == "scaled_dot_product_attention"]
    return found, {call.index: trial[call.p] for call in attends if call.p in trial}


def _rates(model: Module) -> Iterator[tuple[str, Own]]:
    """The model's dropout modules. Attention and recurrent layers keep p for calls that are seen at every p."""
    for name, module in named_modules(model):
        attributes = rate_attributes(module)
        if attributes and not isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention):
            yield name, Own(Anchor(attributes[0], name), Attribute(module, attributes[0]).p)


def _numbers(model: Module, name: str) -> Iterator[Anchor]:
    """A module's plain attributes that look as though they held a p of 0."""
    module = dict(named_modules(model)).get(name)
    for attribute, value in vars(module).items() if module is not None else ():
        if "drop" in attribute.lower() and type(value) in (int, float) and value == 0:
            yield Anchor(attribute, name)


def copied(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """An example that a forward may write into, as Whisper's masking of features does in training."""
    copies: tuple[tuple[Any, ...], dict[str, Any]] = tree_map_only(
        torch.Tensor, lambda tensor: tensor.detach().clone(), (args, kwargs)
    )
    return copies


@contextmanager
def woken(trials: Iterable[tuple[Module, str, float]]) -> Iterator[None]:
    """Inside the `with`, the modules' attributes have these p."""
    trials = list(trials)
    before = [(module, dict(vars(module))) for module, _, _ in trials]
    try:
        for module, attribute, p in trials:
            Attribute(module, attribute).p = p
        yield
    finally:
        for module, own in reversed(before):
            vars(module).clear()
            vars(module).update(own)
