"""Monte-Carlo dropout on a Keras model: only dropout is live, everything else is as at inference."""

from __future__ import annotations

import inspect as python
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ...model.inspect.pattern import matching_names
from ...noise import UINT64, Integer, check
from ...ops.fold import fold_number
from ...uncertainty.answer import OUTPUT, TASK, Meaning
from ...uncertainty.prediction import Prediction
from ...uncertainty.refused import check_sites, checked_levels
from ...uncertainty.summary import summary
from .backend import keras
from .noisy_layers import (
    LayerRate,
    NoisyLayer,
    added_noise,
    augmentations,
    layer_rates,
    layers,
    noisy_layers,
    own_seeds,
    unknown_noise,
)
from .rows import count_rows, some_rows
from .unchanged import calling, numbers, on_backend, seeded, unchanged, unseeded

_LEVELS = (0.025, 0.5, 0.975)
_COUNT = Integer(1, 2**31 - 1, "[1, 2**31)")
Rates = float | Mapping[str, float] | None


class MonteCarlo:
    """A Keras model whose predictions are many: n thinned networks, by seed.

    Live are the layers of this module and Keras's own dropout, in attention and in recurrent layers too. Batch
    normalisation uses its running statistics; augmentation and `GaussianNoise` do nothing. Afterwards the model and the
    state of its seeds are what they were, after an exception too.

    Arguments:
        model: a Keras model or layer, functional, sequential or subclassed.
        n: how many thinned networks.
        seed: the same seed gives the same networks.
        task: "regression": the statistics are those of the outputs. "classification" and "multilabel": of the
            probabilities of classes and of labels.
        levels: of the quantiles. Here by default the median and 95 %, where `thinned.predict` has 90 %.
        output: what the model answers with for classes and labels: "probabilities", the default, as after a softmax or
            a sigmoid; or "logits".
        class_axis: the axis of the classes; by default the last one.
        temperature: the number that logits are divided by.
        sites: patterns for the names of the layers that are to draw, as `thinned.rates` has them; all by default.
        p: other rates meanwhile: one for all layers, or a mapping from patterns to rates.

    Raises:
        TypeError: no Keras model; or a layer that draws noise which this can't switch on, by its name; or, when it
            runs, noise from Keras's global seed.
        ValueError: a model without dropout, or whose layers all have a rate of 0; or a bad n, seed, task or level; or
            answers that are not what `output` says.

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
        output: str | None = None,
        class_axis: int | None = None,
        temperature: float = 1.0,
        sites: str | Sequence[str] | None = None,
        p: Rates = None,
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
        regression = self.task == "regression"
        for name, value, plain in (("output", output, None), ("class_axis", class_axis, None)):
            if regression and value != plain:
                raise ValueError(
                    f"`MonteCarlo`: `{name}` is of classes. Got {value!r} for task='regression'. Pass "
                    "task='classification'."
                )
        if isinstance(temperature, str | bool) or not 0.0 < temperature < float("inf"):
            raise ValueError(
                f"`MonteCarlo`: `temperature` must be a finite number above 0. Got {temperature!r}. Pass 1.0."
            )
        if regression and temperature != 1.0:
            raise ValueError(
                f"`MonteCarlo`: `temperature` divides logits. Got {temperature!r} for task='regression'. Pass "
                "task='classification'."
            )
        if output is not None:
            check(OUTPUT, "MonteCarlo", "output", output)
        check_sites(sites)
        self.temperature, self.sites, self.p = float(temperature), sites, p
        said = None if regression else output or "probabilities"
        axis = -1 if class_axis is None else class_axis
        steps = ("Pass output='logits' for logits", "Divide the model's answer by its sums over axis {axis}")
        self._meaning = Meaning("MonteCarlo", self.task, said, axis, *steps)

    def predict(self, x: Any, batch_size: int | None = None, samples: bool = False) -> Prediction:
        """The prediction for the rows of x: an array, or a list or dictionary of arrays with rows on axis 0.

        Arguments: `batch_size`, how many rows run at once, all by default; which masks a row has depends on it, as each
        batch draws its own. `samples`: keep every network's answer.
        """
        x = on_backend(x)
        rows = count_rows("MonteCarlo", x)
        size = max(1, rows) if batch_size is None else int(check(_COUNT, "MonteCarlo", "batch_size", batch_size))
        if not getattr(self.model, "built", True):
            self.model(some_rows(x, slice(0, 1)), training=False)
        self._refuse_other_noise(x)
        drawn = []
        with _live(self.model, self.sites, self.p) as noisy:
            sites = [fold_number(self.seed, site) for site in range(len(noisy))]
            for number in range(self.n):
                parts, keys = [], [fold_number(site, number) for site in sites]
                for start in range(0, max(rows, 1), size):
                    for layer, key in zip(noisy, keys, strict=True):
                        _set(layer.layer.seed_generator, key, start)
                    answer = self.model(some_rows(x, slice(start, start + size)), training=False)
                    if not hasattr(answer, "shape"):
                        raise TypeError(
                            f"`MonteCarlo`: the model must have one output. Got {type(answer).__name__}. Wrap it: "
                            "keras.Model(model.inputs, model.outputs[0])."
                        )
                    parts.append(numbers(keras.ops.cast(answer, "float32")))
                drawn.append(np.concatenate(parts))
            places = tuple(layer.name for layer in noisy)
        raw = torch.from_numpy(np.stack(drawn))
        axis = self._meaning.axis(raw.shape[1:])
        self._meaning.check(raw, axis, set())
        return summary(
            self._meaning.values(raw, axis, self.temperature),
            self.levels,
            task=self.task,
            keep=samples,
            class_axis=axis,
            n=self.n,
            seed=self.seed,
            places=places,
            engine=f"loop: keras on {keras.backend.backend()}",
        )

    def _refuse_other_noise(self, x: Any) -> None:
        """Refuse noise that has no rate here, of a layer's own or of Keras's global seed.

        Raises:
            TypeError: there is some.
        """
        for _, layer, why in unknown_noise(self.model):
            raise TypeError(
                f"`MonteCarlo`: every layer that draws noise must be one that can be switched on. Got {layer.name!r}, "
                f"{why}. Let it use thinned.interop.keras.Dropout."
            )
        _chosen(self.model, self.sites, self.p)
        with unchanged(self.model), seeded(_generators(self.model)):
            before = unseeded()
            self.model(some_rows(x, slice(0, 2)), training=True)
            if unseeded() != before:
                raise TypeError(
                    "`MonteCarlo`: every layer that draws noise must be one that can be switched on. Got a draw in "
                    "training without a seed, as of keras.random. Let that layer use thinned.interop.keras.Dropout."
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
    output: str | None = None,
    class_axis: int | None = None,
    temperature: float = 1.0,
    sites: str | Sequence[str] | None = None,
    p: Rates = None,
) -> Prediction:
    """`MonteCarlo(model, n, seed, ...).predict(x, ...)`: mean, deviation and quantiles over thinned networks."""
    ask = MonteCarlo(
        model,
        n,
        seed,
        task=task,
        levels=levels,
        output=output,
        class_axis=class_axis,
        temperature=temperature,
        sites=sites,
        p=p,
    )
    return ask.predict(x, batch_size, samples)


def _generators(model: Any) -> list[Any]:
    """The seeds of all layers."""
    return [generator for _, layer, _ in layers(model) for generator in own_seeds(layer)]


def _chosen(
    model: Any, sites: str | Sequence[str] | None, p: Rates
) -> tuple[list[NoisyLayer], list[tuple[LayerRate, float]]]:
    """The layers that draw, in the model's order, and the rates that are other ones meanwhile.

    Raises:
        ValueError: none; or a pattern that matches none, or a rate that a layer can't take.
    """
    there, rates = noisy_layers(model), layer_rates(model)
    values = {name: rate.p for name, rate in rates.items()}
    if isinstance(p, Mapping):
        for pattern, value in p.items():
            values.update(dict.fromkeys(matching_names("MonteCarlo", "p", pattern, rates), value))
    elif p is not None:
        values = {name: p if value else value for name, value in values.items()}
    for name, value in values.items():
        if value != rates[name].p:
            rates[name].refuse("MonteCarlo", value)
    names = [noisy.name for noisy in there]
    patterns = ("*",) if sites is None else (sites,) if isinstance(sites, str) else tuple(sites)
    asked = {name for pattern in patterns if names for name in matching_names("MonteCarlo", "sites", pattern, names)}
    found = [noisy for noisy in there if noisy.name in asked and any(values[rate.name] for rate in noisy.rates)]
    if not found:
        raise ValueError(
            "`MonteCarlo`: the model must have dropout with a rate above 0. Got none. Add thinned.interop.keras.Dropout"
            " before its last layers, and train it so."
        )
    return found, [(rates[name], float(value)) for name, value in values.items() if value != rates[name].p]


@contextmanager
def _live(model: Any, sites: str | Sequence[str] | None, p: Rates) -> Iterator[list[NoisyLayer]]:
    """Dropout is on and other noise off, whatever the call says. Gives the layers that draw, in the model's order."""
    noisy, changes = _chosen(model, sites, p)
    generators = [found.layer.seed_generator for found in noisy]
    states = [numbers(generator.state) for generator in generators]
    before = [(rate, rate.p) for rate, _ in changes]
    ours = [found.layer for found in noisy if found.ours]
    calls = {id(found.runs): (found.runs, _told(found.runs.call, True)) for found in noisy if not found.ours}
    for _, layer in (*added_noise(model), *augmentations(model)):
        calls[id(layer)] = layer, _told(layer.call, False)
    try:
        for rate, value in changes:
            rate.set(value)
        for layer in ours:
            layer.live = True
        with calling(calls), seeded(generators):
            yield noisy
    finally:
        for layer in ours:
            layer.live = False
        for rate, value in before:
            rate.set(value)
        for generator, state in zip(generators, states, strict=True):
            generator.state.assign(state)


def _told(call: Callable[..., Any], training: bool) -> Callable[..., Any]:
    """The method with this mode, if it asks for one: what asks for none has a mode of its own."""
    signature = python.signature(call)
    if "training" not in signature.parameters:
        return call

    def told(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments["training"] = training
        return call(*bound.args, **bound.kwargs)

    return told


def _set(generator: Any, key: int, start: int) -> None:
    """The state of a network's site, for the rows from `start` on."""
    low = key & 0x7FFFFFFF  # fits the signed words of every backend
    generator.state.assign(np.array([low, start]))
