"""Runs of a Keras model after which it is what it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .backend import keras

# Keras has no public names for these.
from keras.src.backend.common import global_state  # isort: skip

UNSEEDED = "noise without a seed"
_GLOBAL_SEED = "global_seed_generator"


def numbers(value: Any) -> Any:
    """A tensor of the backend as an array of NumPy, a copy."""
    return np.array(keras.ops.convert_to_numpy(value))


def global_seed() -> Any:
    """The generator that `keras.random` draws from where it is given no seed."""
    generator = global_state.get_global_attribute(_GLOBAL_SEED)
    if generator is None:
        generator = keras.random.SeedGenerator()
        global_state.set_global_attribute(_GLOBAL_SEED, generator)
    return generator


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Put back what a pass in training mode changes: statistics, counts and states of seeds, Keras's and torch's."""
    kept = [variable for variable in model.variables if not variable.trainable] + [global_seed().state]
    values = [numbers(variable) for variable in kept]
    with torch.random.fork_rng([]):
        try:
            yield
        finally:
            for variable, value in zip(kept, values, strict=True):
                variable.assign(value)


def unseeded() -> tuple[list[int], bytes]:
    """The state of what draws without a seed of a layer: it is another one after such a draw."""
    return numbers(global_seed().state).tolist(), torch.get_rng_state().numpy().tobytes()


@contextmanager
def seeded(generators: Iterable[Any]) -> Iterator[None]:
    """Have Keras draw from these generators where they were made without a number too.

    On torch its dropout would draw from torch's own generator then.
    """
    without = [generator for generator in generators if generator._initial_seed is None]
    try:
        for generator in without:
            generator._initial_seed = 0
        yield
    finally:
        for generator in without:
            generator._initial_seed = None


@contextmanager
def calling(calls: dict[int, tuple[Any, Any]]) -> Iterator[None]:
    """Give layers another `call` for a while. `calls` has the layer and the new method, by the layer's id."""
    before = [(layer, vars(layer).get("call")) for layer, _ in calls.values()]
    try:
        for layer, call in calls.values():
            object.__setattr__(layer, "call", call)
        yield
    finally:
        for layer, own in before:
            if own is not None:
                object.__setattr__(layer, "call", own)
            elif "call" in vars(layer):
                object.__delattr__(layer, "call")


def on_backend(x: Any) -> Any:
    """Tensors of torch, in lists and dictionaries too, as arrays that the backend takes."""
    if isinstance(x, dict):
        return {name: on_backend(value) for name, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(map(on_backend, x))
    if isinstance(x, torch.Tensor) and keras.backend.backend() != "torch":
        return x.detach().cpu().numpy()
    return x
