"""Which layers of a Keras model draw noise, by which rate, and which draw without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from ...noise import PROBABILITY, check
from .drop_connect import DropConnect
from .layer import NoiseLayer

_THEIRS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout")
_ATTENTION = ("Attention", "AdditiveAttention")
_MULTI_HEAD = ("MultiHeadAttention", "GroupedQueryAttention")  # with a dropout layer inside
_CELLS = ("SimpleRNNCell", "GRUCell", "LSTMCell", "ConvLSTMCell")
_OUTER = ("RNN", "SimpleRNN", "GRU", "LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
# Keras has no public names for these.
_children = attrgetter("_layers")
own_seeds = attrgetter("_seed_generators")


class NoisyLayer(NamedTuple):
    """A layer of Keras's or ours that drops by a rate."""

    name: str  # names of the layers around it, without the model's, and its own: "encoder/dropout"
    layer: Any  # it has the seed
    runs: Any  # the layer whose call makes it draw: a recurrent layer for its cell, else itself
    attributes: tuple[str, ...]
    outer: Any = None  # an attention that has the rate too

    @property
    def ours(self) -> bool:
        """Whether it is a layer of this module."""
        return isinstance(self.layer, NoiseLayer | DropConnect)

    @property
    def rates(self) -> list[LayerRate]:
        """Its rates: one, or two of a recurrent layer."""
        first, *more = self.attributes
        names = [(self.name, first), *((f"{self.name}.{other}", other) for other in more)]
        return [LayerRate(name, self, attribute) for name, attribute in names]


class LayerRate(NamedTuple):
    """A rate of a layer, by the name of its place."""

    name: str
    noisy: NoisyLayer
    attribute: str

    @property
    def p(self) -> float:
        """Its value."""
        return float(getattr(self.noisy.layer, self.attribute) or 0)

    def set(self, p: float) -> None:
        """Set it, without a check."""
        setattr(self.noisy.layer, self.attribute, p)
        outer = self.noisy.outer
        if outer is not None:
            setattr(outer, "_dropout" if hasattr(outer, "_dropout") else "dropout", p)

    def refuse(self, owner: str, p: float) -> None:
        """Check a rate that is to be set.

        Raises:
            TypeError, ValueError: no number in [0, 1]; 1 in a recurrent layer, which drops nothing by it; a rate for
                a layer of Keras's that was built with 0, and has no seed.
        """
        layer = self.noisy.layer
        if check(PROBABILITY, owner, "p", p) == 1 and is_theirs(layer, _CELLS):
            raise ValueError(
                f"`{owner}`: p of a recurrent layer must be below 1. Got 1 for {self.name!r}: Keras drops nothing "
                "then. Pass 0.9."
            )
        if p and not self.noisy.ours and getattr(layer, "seed_generator", None) is None:
            raise ValueError(
                f"`{owner}`: {self.name!r} must have a seed. Got a {type(layer).__name__} of Keras's that was built "
                "with rate 0, and so has none. Build it with a rate above 0, or take thinned.interop.keras.Dropout."
            )


def is_theirs(layer: Any, names: Sequence[str]) -> bool:
    """Whether a layer is of a class of Keras's with one of these names, or of a subclass."""
    return any(base.__module__.startswith("keras.") and base.__name__ in names for base in type(layer).__mro__)


def layers(model: Any) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """The model and all layers in it, each once: the name, the layer, and the layers around it, the outermost first."""
    seen = set[int]()

    def walk(layer: Any, around: tuple[Any, ...]) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        yield "/".join(outer.name for outer in (*around[1:], layer)), layer, around
        for inner in _children(layer):
            yield from walk(inner, (*around, layer))

    yield from walk(model, ())


def noisy_layers(model: Any) -> list[NoisyLayer]:
    """The layers that drop by a rate, in the model's order, those with a rate of 0 too."""
    found: list[NoisyLayer] = []
    taken = set[str]()
    for name, layer, around in layers(model):
        runs, outer = layer, None
        attributes: tuple[str, ...] = ("rate",)
        if isinstance(layer, NoiseLayer | DropConnect) or is_theirs(layer, _THEIRS):
            parent = around[-1] if around else None
            if is_theirs(parent, _MULTI_HEAD) and getattr(parent, "_dropout_layer", None) is layer:
                outer, name = parent, name.rpartition("/")[0] or name
        elif is_theirs(layer, _ATTENTION):
            attributes = ("dropout",)
        elif is_theirs(layer, _CELLS):
            attributes = ("dropout", "recurrent_dropout")
            # A recurrent layer hands `training` to its cell, and the innermost one around the cell is asked.
            runs = next((other for other in reversed(around) if is_theirs(other, _OUTER)), layer)
            if around and runs is around[-1]:
                name = name.rpartition("/")[0] or name
        else:
            continue
        stem, number = name, 2
        while name in taken:
            name, number = f"{stem}#{number}", number + 1
        taken.add(name)
        found.append(NoisyLayer(name, layer, runs, attributes, outer))
    return found


def layer_rates(model: Any) -> dict[str, LayerRate]:
    """The rates of a model by name."""
    return {rate.name: rate for noisy in noisy_layers(model) for rate in noisy.rates}


def refuse_unbuilt(owner: str, model: Any) -> None:
    """Refuse a model that has not run yet, if layers in it make others only when they are built.

    Raises:
        ValueError: there is one, by its name.
    """
    if getattr(model, "built", True):
        return
    for name, layer, _ in layers(model):
        makes = next((base for base in type(layer).__mro__ if "build" in vars(base)), object).__module__
        own = not makes.startswith(("keras.", "thinned."))
        if not layer.built and (own or (is_theirs(layer, _MULTI_HEAD) and bool(getattr(layer, "_dropout", 0)))):
            raise ValueError(
                f"`{owner}`: `model` must be built, as {name!r} makes its layers when it is. Got a "
                f"{type(layer).__name__} that has not run. Call the model on data first: model(x)."
            )


def added_noise(model: Any) -> list[tuple[str, Any]]:
    """The layers of Keras's that add noise, and their names."""
    return [(name, layer) for name, layer, _ in layers(model) if is_theirs(layer, ("GaussianNoise",))]


def augmentations(model: Any) -> list[tuple[str, Any]]:
    """The layers of Keras's that draw to change images, and their names."""
    return [
        (name, layer)
        for name, layer, around in layers(model)
        if is_augmentation(layer) and own_seeds(layer) and not any(map(is_augmentation, around))
    ]


def is_augmentation(layer: Any) -> bool:
    """Whether a layer is one of Keras's preprocessing."""
    return any(base.__module__.startswith("keras.src.layers.preprocessing") for base in type(layer).__mro__[:-1])


def unknown_noise(model: Any) -> list[tuple[str, Any, str]]:
    """The layers that draw, or can, with no rate that is known here: the name, the layer, and why."""
    known = {id(noisy.layer) for noisy in noisy_layers(model)} | {id(layer) for _, layer in added_noise(model)}
    found = []
    for name, layer, around in layers(model):
        if id(layer) in known or any(map(is_augmentation, (*around, layer))):
            continue
        if own_seeds(layer):
            found.append((name, layer, f"a {type(layer).__name__} with a seed of its own"))
        elif is_theirs(layer, ("TorchModuleWrapper",)) and _drops(layer.module):
            found.append((name, layer, f"a {type(layer.module).__name__} of torch with dropout"))
    return found


def _drops(module: Any) -> bool:
    from ...model.rates.rate_places import RatePlaces

    return any(place.p != 0 for place in RatePlaces("inspect", module).by_name.values())
