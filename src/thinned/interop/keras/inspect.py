"""`thinned.inspect` for Keras models: which layers draw, in training and at inference, and what they really drop."""

from __future__ import annotations

import inspect as python
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from types import SimpleNamespace
from typing import Any, cast

from ...model.inspect.inspection import Inspection
from ...model.inspect.place import Place
from ...model.inspect.places import ENOUGH
from ...model.watch.trace import Trace
from .backend import keras
from .layer import NoiseLayer
from .noisy_layers import LayerRate, layers, noisy_layers, own_seeds
from .unchanged import UNSEEDED, calling, numbers, on_backend, seeded, unchanged, unseeded

_ZEROING = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "LockedDropout", "StochasticDepth")


@dataclass
class _Layer:
    """A layer that can draw, and what it did."""

    name: str
    layer: Any  # whose call is watched
    generators: list[Any]
    rates: list[LayerRate]  # none of a layer whose noise has no rate
    calls: Counter[bool | None] = field(default_factory=Counter)  # that drew, by the `training` of the pass
    shape: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    dropped: int = 0
    counted: int = 0
    draws: int = 0  # independent ones among the counted units

    def state(self) -> list[Any]:
        return [numbers(generator.state).tolist() for generator in self.generators]

    @property
    def recurrent(self) -> bool:
        """Whether it is a recurrent layer, which draws a mask at inference too and does not use it."""
        return len(self.rates) > 1

    @property
    def zeroes(self) -> bool:
        return bool(self.rates) and any(base.__name__ in _ZEROING for base in type(self.layer).__mro__)


def inspect(model: Any, *args: Any, passes: int = 8, **kwargs: Any) -> Inspection:
    """Find the layers of a Keras model that draw noise when `model(*args, **kwargs)` runs.

    The model runs with `training=True`, up to `passes` times, once with `training=False`, and once without `training`,
    which is inference too unless a layer was called with a constant. A `keras.Model` whose `call` has no `training` is
    told nothing: `fit` tells it nothing either, and its dropout never runs. Afterwards statistics and seeds are what
    they were. Of each dropout, ours and Keras's own, the rate is told, how many units were dropped, and in which modes
    it drew. `train` and `eval` of the result have no calls.

    Cost: 3 to 10 calls of the model, layer by layer, not compiled.
    """
    args, kwargs = on_backend(args), on_backend(kwargs)
    kwargs.pop("training", None)
    if not getattr(model, "built", True):
        model(*args, training=False, **kwargs)
    asks = not isinstance(model, keras.Model) or model._call_has_training_arg  # as Keras's `fit` asks
    found = _found(model)
    without = _Layer(UNSEEDED, None, [], [])

    def run(training: bool | None, counts: bool) -> float:
        before = unseeded()
        start = time.perf_counter()
        with calling(_watched(found, training, counts)):
            model(*args, **kwargs, **({} if training is None or not asks else {"training": training}))
        seconds = time.perf_counter() - start
        without.calls[training] += counts and unseeded() != before
        return seconds

    with unchanged(model), seeded(generator for one in found for generator in one.generators):
        seconds = run(True, True)
        for _ in range(passes - 1):
            if not any(one.draws < ENOUGH for one in found if one.counted):
                break
            run(True, False)
        run(False, True)
        run(None, True)
    places = tuple(place for one in (*found, without) if one.rates or one.calls.total() for place in _places(one))
    empty = Trace([], (), {}, cast(Any, SimpleNamespace(ran={}, loose={}, inside={}, python_draws={})), seconds)
    return Inspection(type(model).__name__, places, empty, empty, seconds)


def _found(model: Any) -> list[_Layer]:
    noisy = {id(one.layer): one for one in noisy_layers(model)}
    found = []
    for name, layer, _ in layers(model):
        if id(layer) in noisy:
            one = noisy[id(layer)]
            generator = getattr(layer, "seed_generator", None)
            found.append(_Layer(one.name, one.runs, [] if generator is None else [generator], one.rates))
        elif own_seeds(layer):
            found.append(_Layer(name, layer, list(own_seeds(layer)), []))
    return found


def _watched(found: list[_Layer], training: bool | None, counts: bool) -> dict[int, tuple[Any, Any]]:
    """The calls of the layers, which note what they draw."""
    calls: dict[int, tuple[Any, Callable[..., Any]]] = {}
    for one in found:
        _, call = calls.get(id(one.layer), (None, one.layer.call))
        calls[id(one.layer)] = one.layer, _watching(one, call, training, counts)
    return calls


def _watching(one: _Layer, call: Callable[..., Any], training: bool | None, counts: bool) -> Callable[..., Any]:
    @wraps(call)
    def watching(*args: Any, **kwargs: Any) -> Any:
        before = one.state()
        answer = call(*args, **kwargs)
        if one.state() != before and not (one.recurrent and not _mode(call, args, kwargs)):
            one.calls[training] += counts
            if one.zeroes and training:
                _count(one, args[0] if args else kwargs["inputs"], answer)
        return answer

    return watching


def _mode(call: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    """Whether a call is one in training."""
    return bool(python.signature(call).bind(*args, **kwargs).arguments.get("training"))


def _count(one: _Layer, x: Any, y: Any) -> None:
    """Count the units that a layer has dropped."""
    noise_shape = _noise_shape(one.layer, x)
    one.shape = tuple(x.shape)
    one.shared = tuple(
        axis for axis, (size, draws) in enumerate(zip(one.shape, noise_shape, strict=True)) if draws == 1 != size
    )
    before, after = numbers(keras.ops.cast(x, "float32")), numbers(keras.ops.cast(y, "float32"))
    one.dropped += int(((before != 0) & (after == 0)).sum())
    one.counted += int((before != 0).sum())
    one.draws += max(1, before.size // max(1, _product(one.shape, one.shared)))


def _product(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    product = 1
    for axis in axes:
        product *= shape[axis]
    return product


def _noise_shape(layer: Any, x: Any) -> list[int]:
    """The shape of a layer's mask."""
    if isinstance(layer, NoiseLayer):
        return [int(size) for size in layer.draws(x)]
    own = layer._get_noise_shape(x) if hasattr(layer, "_get_noise_shape") else layer.noise_shape
    sizes = tuple(x.shape)
    return [int(size) if draws is None else int(draws) for size, draws in zip(sizes, own or sizes, strict=True)]


def _places(one: _Layer) -> list[Place]:
    """Each rate of a layer as a place, or its noise without a rate."""
    kind = "random" if one.layer is None else type(one.layer).__name__
    found = []
    rates: list[LayerRate | None] = [*one.rates]
    for rate in rates or [None]:
        drew = rate is None or rate.p > 0
        noisy = rate.noisy if rate is not None else None
        found.append(
            Place(
                name=one.name if rate is None else rate.name,
                module=one.name,
                kind=kind if noisy is None or noisy.outer is None else type(noisy.outer).__name__,
                file="",
                line=0,
                p=None if rate is None else rate.p,
                measured=one.dropped / one.counted if one.counted else None,
                shape=one.shape,
                shared=one.shared,
                train_calls=one.calls[True] * drew,
                eval_calls=max(one.calls[False], one.calls[None]) * drew,
                share=None,
                now=bool(one.calls[None] and drew),
            )
        )
    return found
