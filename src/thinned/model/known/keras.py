"""Dropout of Keras 3 in a model of torch: it follows an argument of the call, and no tool here sets its rate."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torch.nn import Module

_PACKAGES = ("keras", "tf_keras", "keras_core")
_RATES = ("rate", "dropout", "dropout_rate", "recurrent_dropout")  # attributes of Keras's layers


class KerasPart(NamedTuple):
    """The outermost layer or model of Keras in a model, and the names that Keras gives to its dropouts."""

    name: str  # its qualified name; "" is the model itself
    kind: str
    dropouts: str  # "dropout_1, dropout_2, ..."

    def __str__(self) -> str:
        return f"{self.name or 'the model'} ({self.dropouts})"


def keras_parts(modules: Mapping[str, Module], seen: Iterable[str] = ()) -> Iterator[KerasPart]:
    """The parts of Keras with dropout above 0. Left out are those in which noise was `seen`: names of modules."""
    seen, outer = list(seen), list[str]()
    for name, module in modules.items():
        if not _is_keras(module) or any(not above or name.startswith(f"{above}.") for above in outer):
            continue
        outer.append(name)
        if any(not name or f"{other}.".startswith(f"{name}.") for other in seen):
            continue
        dropouts = [layer for layer in _layers(module) if any(_rate(layer, key) for key in _RATES)]
        if dropouts:
            said = ", ".join(dict.fromkeys(str(getattr(layer, "name", type(layer).__name__)) for layer in dropouts[:5]))
            yield KerasPart(name, type(module).__name__, said + (", ..." if len(dropouts) > 5 else ""))


def warn_of_keras(owner: str, model: Module) -> None:
    """Warn that a function does nothing for the dropouts of Keras in a model, if it has some."""
    parts = list(keras_parts(dict(model.named_modules())))
    if parts:
        warnings.warn(
            f"`{owner}`: dropout of Keras is left out. Got {'; '.join(map(str, parts))}, whose rate only Keras reads, "
            "and which follows the call's `training=`. Set it on Keras's layers.",
            stacklevel=3,
        )


def _is_keras(module: Module) -> bool:
    return any(base.__module__.partition(".")[0] in _PACKAGES for base in type(module).__mro__)


def _layers(module: Module) -> list[Any]:
    """A Keras layer and the layers in it. Keras does not register all of them as submodules."""
    flatten = getattr(module, "_flatten_layers", None)
    return [*module.modules(), *(flatten() if callable(flatten) else ())]


def _rate(layer: Any, key: str) -> bool:
    value = getattr(layer, key, None)
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
