"""Models of other frameworks: what serves a Keras model, and what is said of a model that nothing here serves."""

from __future__ import annotations

import importlib
import sys
from typing import Any

# Not imported here: it is above this folder. It has functions of the names below, for Keras models.
_KERAS_TOOLS = "thinned.interop.keras.tools"
SERVED = ("inspect", "rates", "set_rates", "scale_rates", "disabled", "predict")
_INSTEAD = {  # for a Keras model, by the function that was called
    "check": "Check its source, `thinned check FILE`, where the rules know Keras; thinned.inspect(model, x) shows what "
    "draws.",
    "eval_guard": "thinned.inspect(model, x) shows what draws at inference.",
    "freeze": "Set layer.trainable = False, and the rates of its dropout to 0: thinned.set_rates(layer, {'*': 0.0}).",
    "convert": "Build it with the layers of thinned.interop.keras: weights load from one into the other.",
    "predict": "thinned.predict(model, x) takes one; to ask it many times there is thinned.interop.keras.MonteCarlo.",
    "stream": "Its layers have seeds: those of thinned.interop.keras take seed=, and masks follow from it.",
}
_INSTEAD |= {"thaw": _INSTEAD["freeze"], "revert": _INSTEAD["convert"]}
_JAX = "The masks of this package are in {}, and docs/guides/jax.md has rates, modes and Monte-Carlo prediction there."
# By the beginning of the name of the module that defines a model's class or a class that it inherits from.
_OTHERS = {
    "flax.nnx": ("a module of Flax NNX", _JAX.format("thinned.interop.jax.nnx")),
    "flax.linen": ("a module of Flax linen", _JAX.format("thinned.interop.jax.linen")),
    "equinox": ("a module of Equinox", _JAX.format("thinned.interop.jax.equinox")),
    "haiku": ("a module of Haiku", _JAX.format("thinned.interop.jax")),
    "tf_keras": ("a model of Keras 2", "Keras 3 has the layers of thinned.interop.keras."),
    "tensorflow": ("a model of TensorFlow", "A Keras 3 model has the layers of thinned.interop.keras."),
}


def is_keras(model: Any) -> bool:
    """Whether this is a model or a layer of Keras 3, which with the backend torch is a torch.nn.Module too."""
    layer = getattr(sys.modules.get("keras"), "Layer", None)
    return isinstance(layer, type) and isinstance(model, layer)


def keras_tools(model: Any) -> Any:
    """The module whose functions serve a Keras model; None for any other model."""
    return importlib.import_module(_KERAS_TOOLS) if is_keras(model) else None


def other_framework(model: Any) -> tuple[str, str] | None:
    """What a model of another framework is, and the next step; None for any other object."""
    for base in type(model).__mro__:
        for start, found in _OTHERS.items():
            if f"{base.__module__}.".startswith(f"{start}."):
                return found
    return None


def refuse_other_frameworks(owner: str, model: Any, argument: str = "model") -> None:
    """Refuse a model of another framework by its name.

    Raises:
        TypeError: it is of Keras, Flax, Equinox, Haiku or TensorFlow.
    """
    found = other_framework(model)
    if is_keras(model):
        served = f"{', '.join(f'thinned.{name}' for name in SERVED[:-1])} and thinned.{SERVED[-1]} take one."
        found = f"a model of Keras: {model.name!r}", _INSTEAD.get(owner, served)
    if found is not None:
        what, instead = found
        raise TypeError(
            f"`{owner}`: `{argument}` must be a torch.nn.Module. Got {type(model).__name__}, {what}. {instead}"
        )
