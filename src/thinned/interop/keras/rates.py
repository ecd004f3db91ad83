"""`thinned.rates`, `set_rates`, `scale_rates` and `disabled` for Keras models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...model.inspect.pattern import matching_names, named
from .backend import keras
from .noisy_layers import LayerRate, added_noise, augmentations, layer_rates, layers, unknown_noise

_COMPILED = ("train", "test", "predict")


def rates(model: Any, *, example: Any = None) -> dict[str, float]:
    """The rate of every dropout in a Keras model, by name.

    A name is that of the layer behind those of the layers around it, without the model's: "encoder/dropout". A
    recurrent layer has two, "lstm" and "lstm.recurrent_dropout". An `example` adds nothing, as layers say it all.
    """
    return {name: rate.p for name, rate in layer_rates(model).items()}


def set_rates(model: Any, rates: Mapping[str, float], *, example: Any = None) -> dict[str, float]:
    """Set the rates that patterns name, all or none; functions that `fit`, `evaluate` and `predict` have compiled
    are compiled anew."""
    there = layer_rates(model)
    wanted: dict[str, float] = {}
    for pattern, p in rates.items():
        for name in matching_names("set_rates", "rates", pattern, there):
            there[name].refuse("set_rates", p)
            wanted[name] = float(p)
    return _set(model, {name: (there[name], p) for name, p in wanted.items()})


def scale_rates(model: Any, factor: float, pattern: str = "*", *, example: Any = None) -> dict[str, float]:
    """Multiply the rates that a pattern names by one factor, all or none."""
    there = layer_rates(model)
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

    Every rate is 0, and so is the deviation of `GaussianNoise`. Batch normalisation stays as it is.

    Raises:
        ValueError: `pattern` matches no layer.
        TypeError: a layer draws that has no rate, an augmentation or one of the caller's, and is not in `allow`.
    """
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    there, noise = layer_rates(model), dict(added_noise(model))
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
        yield
    finally:
        for rate, p in rates:
            rate.set(p)
        for layer, deviation in deviations:
            layer.stddev = deviation
        _compile_anew(model)


def _compile_anew(model: Any) -> None:
    """Have the models in a model compile their functions again, in which rates are constants."""
    for _, layer, _ in layers(model):
        if isinstance(layer, keras.Model):
            for name in _COMPILED:
                if getattr(layer, f"{name}_function", None) is not None:
                    getattr(layer, f"make_{name}_function")(force=True)
