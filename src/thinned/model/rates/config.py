"""Keeps a model's configuration in step with its rates, so that what is saved with the configuration has them.

Hugging Face's models are built from a configuration, and `save_pretrained` writes it. It has fields such as
`hidden_dropout_prob`, which the modules read once, when they are built. Which field a place reads is found by building
the model once more, without memory for its weights, from a configuration in which every such field has another value.
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .rate_places import RatePlaces

Module = torch.nn.Module

# By model: for each field, a path of attributes from the model's configuration, the places that read it.
_FIELDS: weakref.WeakKeyDictionary[Module, dict[tuple[str, ...], list[str]]] = weakref.WeakKeyDictionary()
_ADAPTER = "lora_dropout"  # PEFT's name for the rate of an adapter, and for the modules that have it


def keep_in_step(model: Module, places: RatePlaces) -> None:
    """Write the rates of a model into its configurations: of Hugging Face's models in it, and of PEFT's adapters.

    A field whose places have several values of p stays as it is: it can hold one. So does a field that no place reads.
    """
    rates = {name: place.p for name, place in places.by_name.items()}
    for name, module in places.registered.items():
        if _has_config(module):
            prefix = f"{name}." if name else ""
            for path, readers in _fields(module).items():
                _write(module.config, path, {rates.get(_joined(prefix, name, reader)) for reader in readers})
        adapters = getattr(module, "peft_config", None)
        if isinstance(adapters, Mapping):
            for adapter, config in adapters.items():
                part = f".{_ADAPTER}.{adapter}"
                _write(config, (_ADAPTER,), {p for place, p in rates.items() if place.endswith(part)})


def _joined(prefix: str, name: str, reader: str) -> str:
    return f"{name}{reader}" if reader.startswith(":") else prefix + reader


def _has_config(module: Module) -> bool:
    """Whether a module is built from a configuration that is saved with it, as Hugging Face's models are."""
    kind = getattr(type(module), "config_class", None)
    return isinstance(kind, type) and isinstance(vars(module).get("config"), kind) and hasattr(kind, "to_dict")


def _write(config: Any, path: tuple[str, ...], values: set[float | None]) -> None:
    """Set a field of a configuration, if its places have one p, and the p is not what the field says already."""
    if len(values) != 1 or (p := next(iter(values))) is None:
        return
    for name in path[:-1]:
        config = getattr(config, name)
    if getattr(config, path[-1], None) != p:
        setattr(config, path[-1], p)


def _fields(model: Module) -> dict[tuple[str, ...], list[str]]:
    if model not in _FIELDS:
        _FIELDS[model] = _found(model)
    return _FIELDS[model]


def _found(model: Module) -> dict[tuple[str, ...], list[str]]:
    """The fields of a model's configuration that hold a p, and the names of the places that read each."""
    config = copy.deepcopy(model.config)
    trials = {}
    for number, path in enumerate([*_rates_in(config)], 1):
        trials[0.25 + number / 1024] = path
        _write(config, path, {0.25 + number / 1024})
    if not trials:
        return {}
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.get_rng_state()
            twin = type(model)(config)
            torch.set_rng_state(state)
    except Exception as error:  # the constructor is the model's own
        warnings.warn(
            f"`set_rates`: the configuration of {type(model).__name__} is not kept in step, for it can't be built from "
            f"it alone ({type(error).__name__}: {error}). Save the rates with thinned.save_rates.",
            stacklevel=2,
        )
        return {}
    found: dict[tuple[str, ...], list[str]] = {}
    for name, place in RatePlaces("set_rates", twin).by_name.items():
        path = trials.get(place.p) if place.p is not None else None
        if path is not None:
            found.setdefault(path, []).append(name)
    return found


def _rates_in(config: Any, deep: int = 3) -> Iterator[tuple[str, ...]]:
    """The paths to the fields of a configuration that may hold a p, those of configurations in it too."""
    for name, value in [*vars(config).items()]:
        if "drop" in name and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            yield (name,)
        elif deep and hasattr(value, "to_dict") and hasattr(value, "__dict__"):
            yield from ((name, *path) for path in _rates_in(value, deep - 1))


