"""`thinned.rates`, `set_rates`, `scale_rates` and `disabled` for Keras models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...model.inspect.pattern import matching_names, named
from .backend import keras
from .noisy_layers import (
    LayerRate,
    added_noise,
    augmentations,
    layer_rates,
    layers,
    own_seeds,
    refuse_unbuilt,
    unknown_noise,
)
from .unchanged import UNSEEDED, on_backend, seeded, unchanged, unseeded

_COMPILED = ("train", "test", "predict")


def rates(model: Any, *, example: Any = None) -> dict[str, float]:
    """The rate of every dropout in a Keras model, by name.

    A name is that of the layer behind those of the layers around it, without the model's: "encoder/dropout". A
    recurrent layer has two, "lstm" and "lstm.recurrent_dropout". An `example` adds nothing, as layers say it all.
    """
    return {name: rate.p for name, rate in _there("rates", model).items()}


def set_rates(model: Any, rates: Mapping[str, float], *, example: Any = None) -> dict[str, float]:
    """Set the rates that patterns name, all or none; functions that `fit`, `evaluate` and `predict` have compiled
    are compiled anew."""
    there = _there("set_rates", model)
    wanted: dict[str, float] = {}
    for pattern, p in rates.items():
        for name in matching_names("set_rates", "rates", pattern, there):
            there[name].refuse("set_rates", p)
            wanted[name] = float(p)
    return _set(model, {name: (there[name], p) for name, p in wanted.items()})


def scale_rates(model: Any, factor: float, pattern: str = "*", *, example: Any = None) -> dict[str, float]:
    """Multiply the rates that a pattern names by one factor, all or none."""
    there = _there("scale_rates", model)
    wanted: dict[str, tuple[LayerRate, float]] = {}
    for name in matching_names("scale_rates", "pattern", pattern, there):
        p = there[name].p * factor
        if p > 1.0:
            raise ValueError(
                f"`scale_rates`: p must stay in [0, 1]. Got {there[name].p} * {factor} = {p:g} at {name!r}. Take a "
                "smaller factor, or name the places in `pattern`."
            )
        there[name].refuse("scale_rates", p)
        wanted[name] = there[name], p
    return _set(model, wanted)


def _there(owner: str, model: Any) -> dict[str, LayerRate]:
    refuse_unbuilt(owner, model)
    return layer_rates(model)


def _set(model: Any, wanted: Mapping[str, tuple[LayerRate, float]]) -> dict[str, float]:
    changed = {name: p for name, (rate, p) in wanted.items() if rate.p != p}
    for name, p in changed.items():
        wanted[name][0].set(p)
    if changed:
        _compile_anew(model)
    return changed


@contextmanager
def disabled(model: Any, pattern: str = "*", *, example: Any = None, allow: Iterable[str] = ()) -> Iterator[None]:
    """Inside the `with`, a Keras model has no noise, with `training=True` and in `fit` too.

    Every rate is 0, and so is the deviation of `GaussianNoise`. Batch normalisation stays as it is. No layer tells of
    draws without a seed, as of `keras.random` in a `Lambda`: with an `example` the model runs on it once, in training
    mode, and what still draws is refused.

    Raises:
        ValueError: `pattern` matches no layer.
        TypeError: a layer draws that has no rate, an augmentation or one of the caller's, and is not in `allow`; or,
            with an `example`, something draws without a seed.
    """
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    there, noise = _there("disabled", model), dict(added_noise(model))
    others = {name: f"a {type(layer).__name__}, which augments" for name, layer in augmentations(model)}
    others |= {name: why for name, _, why in unknown_noise(model)}
    names = [*there, *noise, *others]
    asked = matching_names("disabled", "pattern", pattern, names) if names or pattern != "*" else []
    asked = [name for name in asked if not any(named(name, text) for text in allowed)]
    for name in asked:
        if name in others:
            raise TypeError(
                f"`disabled`: {name!r} must have a rate that can be 0. Got {others[name]}. Let it draw: "
                f"allow=({name!r},), or leave it out of `pattern`."
            )
    rates = [(there[name], there[name].p) for name in asked if name in there]
    deviations = [(noise[name], noise[name].stddev) for name in asked if name in noise]
    try:
        for rate, _ in rates:
            rate.set(0.0)
        for layer, _ in deviations:
            layer.stddev = 0.0
        _compile_anew(model)
        if example is not None and not any(named(UNSEEDED, text) for text in allowed):
            _refuse_unseeded(model, example)
        yield
    finally:
        for rate, p in rates:
            rate.set(p)
        for layer, deviation in deviations:
            layer.stddev = deviation
        _compile_anew(model)


def _refuse_unseeded(model: Any, example: Any) -> None:
    """Refuse draws that no layer's seed feeds, by a run in which all rates are 0."""
    args = on_backend(example if isinstance(example, tuple) else (example,))
    with unchanged(model), seeded(generator for _, layer, _ in layers(model) for generator in own_seeds(layer)):
        before = unseeded()
        model(*args, training=True)
        if unseeded() != before:
            raise TypeError(
                "`disabled`: every layer that draws must have a rate that can be 0. Got a draw in training without a "
                f"seed, as of keras.random. Let it draw: allow=({UNSEEDED!r},), or use thinned.interop.keras.Dropout "
                "there."
            )


def _compile_anew(model: Any) -> None:
    """Have the models in a model compile their functions again, in which rates are constants."""
    for _, layer, _ in layers(model):
        if isinstance(layer, keras.Model):
            for name in _COMPILED:
                if getattr(layer, f"{name}_function", None) is not None:
                    getattr(layer, f"make_{name}_function")(force=True)
