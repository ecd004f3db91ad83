"""Monte-Carlo dropout on a Keras model: only dropout is live, everything else is as at inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
import torch

from ...noise import UINT64, Integer, check
from ...ops.fold import fold_number
from ...uncertainty.answer import TASK
from ...uncertainty.prediction import Prediction
from ...uncertainty.refused import checked_levels
from ...uncertainty.summary import summary
from .backend import keras
from .drop_connect import DropConnect
from .layer import NoiseLayer

_LEVELS = (0.025, 0.5, 0.975)
_COUNT = Integer(1, 2**31 - 1, "[1, 2**31)")
_THEIRS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout")
_RECURRENT = ("SimpleRNNCell", "GRUCell", "LSTMCell", "ConvLSTMCell")
_OUTER = ("RNN", "SimpleRNN", "GRU", "LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
# What draws for other reasons: augmentation and noise, which stay as at inference.
_QUIET = "keras.src.layers.preprocessing"
# Keras has no public names for these.
_flattened = methodcaller("_flatten_layers", include_self=True, recursive=True)
_own_seeds = attrgetter("_seed_generators")


class MonteCarlo:
    """A Keras model whose predictions are many: n thinned networks, by seed.

    Live are the layers of this module and Keras's own dropout, in attention and in recurrent layers too. Batch
    normalisation uses its running statistics; augmentation and `GaussianNoise` do nothing. Afterwards the model and the
    state of its seeds are what they were, after an exception too.

    Arguments:
        model: a Keras model or layer, functional, sequential or subclassed.
        n: how many thinned networks.
        seed: the same seed gives the same networks.
        task: "regression": the statistics are those of the outputs. "classification" and "multilabel": the outputs are
            probabilities, as those of a last layer with softmax or sigmoid.
        levels: of the quantiles. Here by default the median and 95 %, where `thinned.predict` has 90 %.

    Raises:
        TypeError: no Keras model; or a layer that draws noise which this can't switch on, by its name.
        ValueError: a model without dropout, or whose layers all have a rate of 0; or a bad n, seed, task or level.

    Source: Gal and Ghahramani 2016.
    """

    def __init__(
        self,
        model: Any,
        n: int = 50,
        seed: int = 0,
        *,
        task: str = "regression",
        levels: Sequence[float] = _LEVELS,
    ) -> None:
        if not isinstance(model, keras.Layer):
            raise TypeError(
                f"`MonteCarlo`: `model` must be a Keras model or layer. Got {type(model).__name__}. For a model of "
                "torch, call thinned.predict."
            )
        self.model = model
        self.n = int(check(_COUNT, "MonteCarlo", "n", n))
        self.seed = int(check(UINT64, "MonteCarlo", "seed", seed))
        self.task = str(check(TASK, "MonteCarlo", "task", task))
        self.levels = checked_levels(levels, owner="MonteCarlo")

    def predict(self, x: Any, batch_size: int | None = None, samples: bool = False) -> Prediction:
        """The prediction for the rows of x: an array, or a list or dictionary of arrays with rows on axis 0.

        Arguments: `batch_size`, how many rows run at once, all by default; which masks a row has depends on it, as each
        batch draws its own. `samples`: keep every network's answer.
        """
        rows = len(next(iter(_leaves(x))))
        size = rows if batch_size is None else int(check(_COUNT, "MonteCarlo", "batch_size", batch_size))
        if not getattr(self.model, "built", True):
            self.model(_part(x, slice(0, 1)), training=False)
        drawn = []
        with _live(self.model) as noisy:
            sites = [fold_number(self.seed, site) for site in range(len(noisy))]
            for number in range(self.n):
                parts, keys = [], [fold_number(site, number) for site in sites]
                for start in range(0, max(rows, 1), size):
                    for layer, key in zip(noisy, keys, strict=True):
                        _set(layer.seed_generator, key, start)
                    answer = self.model(_part(x, slice(start, start + size)), training=False)
                    if not hasattr(answer, "shape"):
                        raise TypeError(
                            f"`MonteCarlo`: the model must have one output. Got {type(answer).__name__}. Wrap it: "
                            "keras.Model(model.inputs, model.outputs[0])."
                        )
                    parts.append(np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(answer, "float32"))))
                drawn.append(np.concatenate(parts))
            places = tuple(layer.path or layer.name for layer in noisy)
        return summary(
            torch.from_numpy(np.stack(drawn)),
            self.levels,
            task=self.task,
            keep=samples,
            class_axis=drawn[0].ndim - 1 if self.task == "classification" else 1,
            n=self.n,
            seed=self.seed,
            places=places,
            engine=f"loop: keras on {keras.backend.backend()}",
        )


def predict(
    model: Any,
    x: Any,
    n: int = 50,
    *,
    seed: int = 0,
    task: str = "regression",
    batch_size: int | None = None,
    samples: bool = False,
    levels: Sequence[float] = _LEVELS,
) -> Prediction:
    """`MonteCarlo(model, n, seed, ...).predict(x, ...)`: mean, deviation and quantiles over thinned networks."""
    return MonteCarlo(model, n, seed, task=task, levels=levels).predict(x, batch_size, samples)


def _leaves(x: Any) -> list[Any]:
    return list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, list | tuple) else [x]


def _part(x: Any, rows: slice) -> Any:
    if isinstance(x, dict):
        return {name: value[rows] for name, value in x.items()}
    return type(x)(value[rows] for value in x) if isinstance(x, list | tuple) else x[rows]


def _layers(model: Any) -> list[Any]:
    """The model and all layers in it, each once."""
    found = {id(layer): layer for layer in _flattened(model)}
    return list(found.values())


def _is(layer: Any, names: Sequence[str]) -> bool:
    return any(base.__module__.startswith("keras.") and base.__name__ in names for base in type(layer).__mro__)


def _rates(layer: Any) -> list[float]:
    return [float(getattr(layer, name, 0) or 0) for name in ("rate", "dropout", "recurrent_dropout")]


def _noisy(model: Any) -> list[Any]:
    """The layers that draw if they are live, in the model's order; an error names one that can't be switched on."""
    found = []
    for layer in _layers(model):
        if isinstance(layer, NoiseLayer | DropConnect) or _is(layer, (*_THEIRS, *_RECURRENT)):
            if any(_rates(layer)):
                found.append(layer)
        elif _own_seeds(layer) and not _is_known_quiet(layer):
            raise TypeError(
                f"`MonteCarlo`: every layer that draws noise must be one that can be switched on. Got {layer.name!r}, "
                f"a {type(layer).__name__} with a seed of its own. Let it use thinned.interop.keras.Dropout."
            )
    if not found:
        raise ValueError(
            "`MonteCarlo`: the model must have dropout with a rate above 0. Got none. Add thinned.interop.keras.Dropout"
            " before its last layers, and train it so."
        )
    return found


def _is_known_quiet(layer: Any) -> bool:
    """Whether a layer of Keras's own draws, if at all, by a layer in it, for augmentation or as added noise."""
    kind = type(layer).__module__
    return kind.startswith("keras.") and (
        kind.startswith(_QUIET) or _is(layer, ("GaussianNoise", *_OUTER, "StackedRNNCells")) or not any(_rates(layer))
    )


@contextmanager
def _live(model: Any) -> Iterator[list[Any]]:
    """Dropout is on, whatever the call says. Gives the layers that draw, in the model's order."""
    noisy = _noisy(model)
    generators = [layer.seed_generator for layer in noisy]
    states = [np.array(keras.ops.convert_to_numpy(generator.state)) for generator in generators]
    cells = {id(layer) for layer in noisy if _is(layer, _RECURRENT)}
    # A recurrent layer hands `training` to its cell, so it is told.
    outer = [layer for layer in _layers(model) if _is(layer, _OUTER) and id(getattr(layer, "cell", None)) in cells]
    ours = [layer for layer in noisy if isinstance(layer, NoiseLayer | DropConnect)]
    forced = [layer for layer in noisy if _is(layer, _THEIRS)] + outer
    try:
        for layer in ours:
            layer.live = True
        for layer in forced:
            object.__setattr__(layer, "call", _always(layer.call))
        yield noisy
    finally:
        for layer in ours:
            layer.live = False
        for layer in forced:
            object.__delattr__(layer, "call")
        for generator, state in zip(generators, states, strict=True):
            generator.state.assign(state)


def _always(call: Any) -> Any:
    def live(*args: Any, **kwargs: Any) -> Any:
        kwargs["training"] = True
        return call(*args, **kwargs)

    return live


def _set(generator: Any, key: int, start: int) -> None:
    """The state of a network's site, for the rows from `start` on."""
    low = key & 0x7FFFFFFF  # fits the signed words of every backend
    generator.state.assign(np.array([low, start]))
