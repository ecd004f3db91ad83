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
from typing import Any, NamedTuple

import torch

from ..watch.private_noise import private_noise
from .rate_places import RatePlaces

Module = torch.nn.Module

Path = tuple[str, ...]  # the attributes that lead from a configuration to a field of it


class Fields(NamedTuple):
    """Which fields of a model's configuration hold the p of which places."""

    readers: dict[Path, list[str]]  # by field: the names of the places that read it
    instead: dict[Path, Path]  # by field that is None: the field that its places read instead of it


_FIELDS: weakref.WeakKeyDictionary[Module, Fields] = weakref.WeakKeyDictionary()
_ADAPTER = "lora_dropout"  # PEFT's name for the rate of an adapter, and for the modules that have it


def keep_in_step(places: RatePlaces) -> None:
    """Write the rates of a model into its configurations: of Hugging Face's models in it, and of PEFT's adapters.

    A field whose places have several values of p stays as it is: it can hold one. So does a field that no place reads.
    """
    rates = {name: place.p for name, place in places.by_name.items()}
    for name, module in places.registered.items():
        if _has_config(module):
            prefix = f"{name}." if name else ""
            fields = _fields(module)
            wanted = {
                path: {rates.get(_joined(prefix, name, reader)) for reader in readers}
                for path, readers in fields.readers.items()
            }
            for path, values in wanted.items():
                follows = path in fields.instead and _read(module.config, path) is None
                if not follows or values != wanted.get(fields.instead[path]):
                    _write(module.config, path, values)
        adapters = vars(module).get("peft_config")
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


def _write(config: Any, path: Path, values: set[float | None]) -> None:
    """Set a field of a configuration, if its places have one p, and the p is not what the field says already."""
    if len(values) != 1 or (p := next(iter(values))) is None:
        return
    for name in path[:-1]:
        config = getattr(config, name)
    if getattr(config, path[-1], None) != p:
        setattr(config, path[-1], p)


def _fields(model: Module) -> Fields:
    if model not in _FIELDS:
        try:
            _FIELDS[model] = _found(model)
        except Exception as error:  # the constructor is the model's own
            warnings.warn(
                f"`set_rates`: the configuration of {type(model).__name__} is not kept in step, for the model can't be "
                f"built from it alone ({type(error).__name__}: {error}). Save the rates with thinned.save_rates.",
                stacklevel=4,
            )
            _FIELDS[model] = Fields({}, {})
    return _FIELDS[model]


def _found(model: Module) -> Fields:
    """Build the model from trial values, once with a value for the fields that are None, and once without."""
    paths = [*_rates_in(model.config)]
    empty = {path for path in paths if _read(model.config, path) is None}
    readers = _readers(model, paths) if paths else {}
    others = _readers(model, [path for path in paths if path not in empty]) if empty else {}
    instead = {
        path: other
        for path in empty & readers.keys()
        for other, names in others.items()
        if {*readers[path]} <= {*names}
    }
    return Fields(readers, instead)


def _readers(model: Module, paths: list[Path]) -> dict[Path, list[str]]:
    """The places that read each of these fields, by name, from a model that is built with another p in each."""
    config = copy.deepcopy(model.config)
    trials = {0.25 + number / 1024: path for number, path in enumerate(paths, 1)}
    for p, path in trials.items():
        _write(config, path, {p})
    with private_noise(model, own=False) as noise, noise.given(), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = type(model)(config)
    found: dict[Path, list[str]] = {}
    for name, place in RatePlaces("set_rates", twin).by_name.items():
        if place.p in trials:
            found.setdefault(trials[place.p], []).append(name)
    return found


def _read(config: Any, path: Path) -> Any:
    for name in path:
        config = getattr(config, name)
    return config


def _rates_in(config: Any, deep: int = 3) -> Iterator[Path]:
    """The paths to the fields of a configuration that may hold a p, those of configurations in it too."""
    for name, value in [*vars(config).items()]:
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        if "drop" in name and (number or value is None):
            yield (name,)
        elif deep and hasattr(value, "to_dict") and hasattr(value, "__dict__"):
            yield from ((name, *path) for path in _rates_in(value, deep - 1))
