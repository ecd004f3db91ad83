"""The forms of dropout that a network has a place for, each as the study's network with other noise in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ...fit.perceptron import Perceptron
from ...nn import GRU, LSTM, AlphaDropout, Dropout, Dropout2d, GaussianDropout, StochasticDepth, drop_connect
from ..networks.named import NetworkName, made
from ..networks.residual import ResidualBlock
from ..networks.transformer import EncoderLayer
from ..trial.config import Recipe

RELU, SELU = "no noise", "SELU without noise"  # what a form is without its noise
STANDARD = "standard dropout"


@dataclass(frozen=True)
class Form:
    """A form of dropout.

    `put` takes a network without noise and puts noise of rate p into its places. `quiet` is what it is at p = 0. Under
    "perceptron" a network is layers one after another.
    """

    name: str
    network: NetworkName
    put: Callable[[nn.Module, float], None]
    where: str
    quiet: str = RELU


def plain_network(recipe: Recipe, inputs: int, outputs: int, quiet: str, generator: torch.Generator) -> nn.Module:
    """The study's network without noise; under SELU with weights of variance 1 / inputs (Klambauer et al. 2017).

    A perceptron is layers one after another, an Identity behind every activation where noise can be put.
    """
    if recipe.network != "perceptron":
        return made(recipe.network, recipe.shape, recipe.hidden, outputs, 0.0)
    linear = Perceptron(inputs, recipe.hidden, outputs, 0.0, generator=generator).linear
    layers: list[nn.Module] = []
    for layer in linear[:-1]:
        layers += [layer, nn.SELU() if quiet == SELU else nn.ReLU(), nn.Identity()]
    if quiet == SELU:
        for layer in linear:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers, linear[-1])


def forms_of(network: NetworkName) -> list[Form]:
    """Those that a network has a place for, standard dropout first."""
    return [form for form in FORMS if form.network == network]


def _swapped(old: type[nn.Module], new: Callable[[float], nn.Module]) -> Callable[[nn.Module, float], None]:
    """Every module of a type but the inputs' dropout gives way to a new one."""

    def put(network: nn.Module, p: float) -> None:
        for name, module in list(network.named_modules()):
            if type(module) is old and name != "input_dropout":
                network.set_submodule(name, new(p))

    return put


def _every_dropout(network: nn.Module, p: float) -> None:
    for name, module in network.named_modules():
        if isinstance(module, Dropout) and name != "input_dropout":
            module.p = p
        elif isinstance(module, (LSTM, GRU)):
            module.dropout = p


def _word_by_word(network: nn.Module, p: float) -> None:
    """Embeddings, with a mask for every word, and the mean over words."""
    network.input_dropout = Dropout(p)
    network.dropout = Dropout(p)


def _locked_words(network: nn.Module, p: float) -> None:
    """As standard dropout, with one mask for all words wherever there is one vector a word."""
    _every_dropout(network, p)
    for name, module in list(network.named_modules()):
        if isinstance(module, EncoderLayer):
            for place in ("inner_dropout", "residual_dropout1", "residual_dropout2"):
                network.set_submodule(f"{name}.{place}", Dropout(p, broadcast_dims=(1,)))
    network.embedding_dropout = Dropout(p, broadcast_dims=(1,))


def _dropped_weights(network: nn.Module, p: float) -> None:
    """The weights that read hidden units: in a perceptron of every layer but the first."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    for layer in layers[1:] if len(layers) > 1 else layers:
        drop_connect(layer, p=p)


def _dropped_recurrent_weights(network: nn.Module, p: float) -> None:
    for module in network.modules():
        if isinstance(module, (LSTM, GRU)):
            for name in [name for name, _ in module.named_parameters() if name.startswith("weight_hh")]:
                drop_connect(module, name, p=p)


def _maps(network: nn.Module, p: float) -> None:
    """Whole maps in front of every block."""
    for name, module in list(network.named_modules()):
        if isinstance(module, ResidualBlock):
            network.set_submodule(name, nn.Sequential(Dropout2d(p), module))


def _branches(network: nn.Module, p: float) -> None:
    """The residual branches: of a block's, what its second norm gives."""
    for module in list(network.modules()):
        if isinstance(module, ResidualBlock):
            module.norm2 = nn.Sequential(module.norm2, StochasticDepth(p))  # type: ignore[assignment]
        elif isinstance(module, EncoderLayer):
            module.residual_dropout1 = StochasticDepth(p)  # type: ignore[assignment]
            module.residual_dropout2 = StochasticDepth(p)  # type: ignore[assignment]


_LOCKED = "one mask for all words of a text"
_GAUSSIAN = "Gaussian dropout"
_WEIGHTS = "the weights that read hidden units"
FORMS: tuple[Form, ...] = (
    Form(STANDARD, "perceptron", _swapped(nn.Identity, Dropout), "hidden units"),
    Form(_GAUSSIAN, "perceptron", _swapped(nn.Identity, GaussianDropout), "hidden units"),
    Form("DropConnect", "perceptron", _dropped_weights, _WEIGHTS),
    Form("alpha dropout with SELU", "perceptron", _swapped(nn.Identity, AlphaDropout), "hidden units", SELU),
    Form(STANDARD, "cnn", _every_dropout, "the means of the last maps"),
    Form("spatial dropout", "cnn", _maps, "whole maps in front of each block"),
    Form("stochastic depth", "cnn", _branches, "residual branches"),
    Form("DropConnect", "cnn", _dropped_weights, "the last layer's weights"),
    *(
        form
        for network in ("lstm", "gru")
        for form in (
            Form(STANDARD, network, _word_by_word, "word vectors, a mask a word, and their mean"),
            Form("locked dropout", network, _every_dropout, f"inputs of the cell, {_LOCKED}, and the mean"),
            Form("DropConnect", network, _dropped_recurrent_weights, "the recurrent weights (Merity et al. 2017)"),
        )
    ),
    Form(STANDARD, "transformer", _every_dropout, "embeddings, attention, branches and the mean"),
    Form(_GAUSSIAN, "transformer", _swapped(Dropout, GaussianDropout), "the same places"),
    Form("locked dropout", "transformer", _locked_words, f"the same places, {_LOCKED}"),
    Form("stochastic depth", "transformer", _branches, "residual branches"),
)
