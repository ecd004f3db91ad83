"""Which of Keras's backends runs, and the noise on it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..extra import needed

needed("keras", "thinned.interop.keras", "Keras 3", "thinned[keras]")

import keras as keras  # noqa: E402 - for the files beside this one


def _chosen() -> ModuleType:
    name = keras.backend.backend()
    if name == "tensorflow":
        from . import on_tensorflow

        return on_tensorflow
    if name == "jax":
        from . import on_jax

        return on_jax
    if name == "torch":
        from . import on_torch

        return on_torch
    raise ImportError(
        f"`thinned.interop.keras`: Keras's backend must be one of tensorflow, jax and torch. Got {name!r}. Set "
        "KERAS_BACKEND before Keras is imported."
    )


noise: Any = _chosen()
